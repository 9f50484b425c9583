#!/usr/bin/python3
"""The container image, built from the Dockerfile and started without a Docker engine (buildah with
chroot isolation): it asks for the token that it printed, keeps its data in the volume and runs as
nobody in particular. Takes some minutes and Debian's package mirror; SIGHTLINE_LONG=0 skips it."""
import atexit
import glob
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from tap import diag, done, equal, folder, free_port, ok, skip_all, wait_for
import json
import urllib.error
import urllib.request

if os.environ.get("SIGHTLINE_LONG") == "0":
    skip_all("SIGHTLINE_LONG=0")
if os.geteuid() != 0:
    skip_all("chroot isolation needs root")
for tool in ("buildah", "debootstrap"):
    if not shutil.which(tool):
        skip_all(f"{tool} is not installed")

path = folder()
CACHE = os.path.abspath("build/container")
os.makedirs(CACHE, exist_ok=True)
environment = dict(os.environ, BUILDAH_ISOLATION="chroot", STORAGE_DRIVER="vfs")
storage = ["--root", os.path.join(path, "storage"), "--runroot", os.path.join(path, "run")]
policy = os.path.join(path, "policy.json")
with open(policy, "w", encoding="utf-8") as file:
    json.dump({"default": [{"type": "insecureAcceptAnything"}]}, file)


def run(*arguments, seconds=1800):
    result = subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=seconds, check=False)
    if result.returncode != 0:
        diag(" ".join(arguments))
        diag((result.stdout + result.stderr)[-3000:])
    return result


def buildah(command, *arguments):
    return run("buildah", *storage, command, *arguments)


# The base image is made from Debian's packages, once: with an engine it would be pulled.
base = os.path.join(CACHE, "rootfs")
if not os.path.exists(os.path.join(base, "etc", "os-release")):
    shutil.rmtree(base, ignore_errors=True)
    mirror = None
    for source in glob.glob("/etc/apt/sources.list") + glob.glob("/etc/apt/sources.list.d/*"):
        with open(source, encoding="utf-8") as file:
            found = re.search(r"(https?://\S+/debian)/?\s", file.read())
            mirror = mirror or (found and found.group(1))
    if run("debootstrap", "--variant=minbase", "bookworm", base, *([mirror] if mirror else [])).returncode != 0:
        shutil.rmtree(base, ignore_errors=True)
        skip_all("no Debian base system could be made here")
    # The way to the packages is the machine's own.
    for name in ("etc/apt/sources.list", "etc/apt/apt.conf.d", "etc/apt/sources.list.d"):
        if os.path.isdir("/" + name):
            shutil.copytree("/" + name, os.path.join(base, name), dirs_exist_ok=True)
        elif os.path.exists("/" + name):
            shutil.copy("/" + name, os.path.join(base, name))
    shutil.copy("/etc/resolv.conf", os.path.join(base, "etc"))
    # A mirror behind a certificate authority of the house's own: what this machine trusts, the image does.
    with open(os.path.join(base, "etc", "authorities.pem"), "w", encoding="utf-8") as out:
        trusted = [os.environ.get("NODE_EXTRA_CA_CERTS", ""), "/etc/ssl/certs/ca-certificates.crt",
                   *glob.glob("/usr/local/share/ca-certificates/*.crt")]
        for name in filter(os.path.exists, trusted):
            with open(name, encoding="utf-8") as file:
                out.write(file.read() + "\n")

npmrc = os.path.expanduser("~/.npmrc")
container = buildah("from", "scratch").stdout.strip()
ok(container != "", "a base image is begun")
equal(buildah("copy", "--quiet", container, base, "/").returncode, 0, "the base system goes in")
buildah("config", "--env", "NODE_EXTRA_CA_CERTS=/etc/authorities.pem", container)
equal(buildah("commit", "--quiet", "--signature-policy", policy, container, "localhost/debian:bookworm-slim").returncode, 0,
      "and is committed")
buildah("rm", container)
built = buildah("bud", "--signature-policy", policy, "--pull-never", "--build-arg", "BASE=localhost/debian:bookworm-slim",
                *(["--volume", f"{npmrc}:/root/.npmrc:ro"] if os.path.exists(npmrc) else []),
                "-t", "localhost/sightline", ".")
if not ok(built.returncode == 0, "the Dockerfile builds"):
    done()
image = json.loads(buildah("inspect", "--type", "image", "localhost/sightline").stdout)["OCIv1"]["config"]
equal(image.get("User"), "sightline", "it does not run as root")
ok("/data" in image.get("Volumes", {}), "it has a volume for its data")

container = buildah("from", "--signature-policy", policy, "--pull-never", "localhost/sightline").stdout.strip()
# buildah mounts a volume of its own over a declared one; an engine would mount ours.
buildah("config", "--volume", "/data-", container)
data = os.path.join(path, "data")
os.mkdir(data)
os.chown(data, 10001, 10001)
# The port is free here, which 8080 need not be: without an engine the container shares our network.
port = free_port()
with open("config/container/sightline.yml", encoding="utf-8") as file:
    config = file.read().replace("port: 8080", f"port: {port}").replace("listen: 0.0.0.0", "listen: 127.0.0.1")
with open(os.path.join(data, "sightline.yml"), "w", encoding="utf-8") as file:
    file.write(config)


def start():
    log = open(os.path.join(path, "log"), "w+", encoding="utf-8")
    process = subprocess.Popen(["buildah", *storage, "run", "--user", "sightline", "--volume", f"{data}:/data", container,
                                "--", "/usr/share/sightline/start"], stdout=log, stderr=log, env=environment,
                               start_new_session=True)
    atexit.register(stop, process)
    wait_for(lambda: "Dashboard:" in output() or process.poll() is not None, 120)
    return process


def output():
    with open(os.path.join(path, "log"), encoding="utf-8") as file:
        return file.read()


def ask(route, token=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{route}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def stop(process):
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


process = start()
found = re.search(r"token .*?:\n\s*\n?\s*(\S{16,})", output())
if not ok(found, "the first start prints a token"):
    diag(output())
token = found.group(1) if found else "?"
if not ok(f"Dashboard: http://127.0.0.1:{port}/" in output(), "and it serves where the volume's configuration says"):
    diag(f"exit code {process.poll()}")
    diag(output())
    done()
equal(ask("/api/v1/cameras")[0], 401, "without it nobody is let in")
equal(ask("/api/v1/cameras", token)[0], 200, "with it one is")
equal(ask("/api/v1/ready")[0], 200, "ready answers anybody")
page = ask("/")
ok(page[0] == 200 and b"<script" in page[1], "the dashboard is inside")
health = buildah("run", "--user", "sightline", "--volume", f"{data}:/data", container, "--", "/usr/bin/sightline", "health")
equal(health.returncode, 0, "the health check says so too")
stop(process)
process = start()
ok("token" not in output(), "a second start prints no token")
equal(ask("/api/v1/cameras", token)[0], 200, "and the first one still counts")
stop(process)
equal(sorted(os.listdir(data)), ["ledger", "sightline.yml", "token"], "everything it keeps is in the volume")
equal(oct(os.stat(os.path.join(data, "token")).st_mode & 0o777), "0o600", "the token is its owner's alone")
owner = buildah("run", container, "--", "sh", "-c", "command -v gcc node npm cmake git || echo none").stdout.strip()
equal(owner, "none", "no compiler or package manager of the build is left")
done()
