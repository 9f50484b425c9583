#!/usr/bin/python3
"""bench/cuda.py [--build DIR] [--json FILE] [--seconds N]
bench/cuda.py --pack FILE.tar.gz [--video] [--build DIR]

Everything that wants a card, in one command of less than eight minutes: the tests of the CUDA backend,
its rates, those of PyTorch for the same network, and what the card gives at most. Each step has a
limit; what finds no time is left out and named. The figures go to FILE, also when a step fails.

--pack puts what was built here, with its libraries and the models of the tests, into an archive that
runs on a machine with a card, its driver, cuDNN 9 and Python, and without a compiler:

    tar xzf FILE.tar.gz && python3 cuda/bench/cuda.py --build cuda --json FILE

With --video the test of video that is decoded on the card goes with it, and all of FFmpeg's libraries:
80 MB more.
"""

import argparse
import glob
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = ['tests/cuda_device_test', 'tests/cuda_host_test', 'bench/cuda_bench']
VIDEO = 'tests/cuda_decode_test'
PLUGIN = 'bin/libsightline_cuda.so'
SCRIPTS = ['cuda.py', 'cuda_roofline.py', 'cuda_torch.py', 'make_model.py', 'models_other.py',
           'models_yolo.py', 'onnx_writer.py']
MATERIAL = ['yolox_nano_coco_416.onnx', 'ref_bus_input_1x3x416x416_f32.bin',
            'ref_bus_output_1x3549x85_f32.bin']
# What every machine has of its own, or must have: the C and C++ libraries, the driver, CUDA.
NOT_PACKED = ('libc.so', 'libm.so', 'libpthread', 'libdl', 'librt', 'ld-linux', 'libstdc++', 'libgcc_s',
              'libcuda', 'libcudnn')
ROW = ('model', 'backend', 'precision', 'batch', 'ms', 'images_per_s', 'gflops')


def libraries(program):
    for line in subprocess.run(['ldd', program], capture_output=True, text=True,
                               check=True).stdout.splitlines():
        words = line.split()
        if len(words) > 2 and words[1] == '=>' and words[2].startswith('/') and \
                not words[0].startswith(NOT_PACKED):
            yield words[0], os.path.realpath(words[2])


def pack(archive, build, material, programs):
    model = os.path.join(HERE, '..', 'gpu', 'models', 'default.onnx')
    files = {'cuda/bench/' + name: os.path.join(HERE, name) for name in SCRIPTS}
    files['cuda/default.onnx'] = model
    for name in programs + [PLUGIN]:
        files['cuda/' + name] = os.path.join(build, name)
    for name in programs:
        for library, path in libraries(os.path.join(build, name)):
            files['cuda/lib/' + library] = path
    for name in MATERIAL:
        files['cuda/material/models/' + name] = os.path.join(material, 'models', name)
    missing = [path for path in files.values() if not os.path.exists(path)]
    for path in missing:
        print('left out: %s is not there' % path, file=sys.stderr)
    with tarfile.open(archive, 'w:gz') as tar:
        for name, path in sorted(files.items()):
            if path not in missing:
                tar.add(path, name)
    print('%s: %.1f MiB' % (archive, os.path.getsize(archive) / 2 ** 20))
    return 1 if os.path.join(build, PLUGIN) in missing else 0


class Session:
    def __init__(self, build, seconds):
        self.build, self.steps, self.rows, self.roofline = build, [], [], {}
        self.until = time.monotonic() + seconds
        self.environment = dict(os.environ, PYTHONUNBUFFERED='1')
        plugin = os.path.join(build, PLUGIN)
        if os.path.exists(plugin):
            self.environment['SIGHTLINE_CUDA_PLUGIN'] = os.path.abspath(plugin)
        folders = [os.path.abspath(os.path.join(build, 'lib'))] + self.cudnn_of_python()
        folders.append(self.environment.get('LD_LIBRARY_PATH', ''))
        # For our programs; Python has libraries of its own.
        self.libraries = {'LD_LIBRARY_PATH': ':'.join(filter(None, folders))}
        if os.path.isdir(os.path.join(build, 'material')):
            self.environment['SIGHTLINE_MATERIAL'] = os.path.abspath(os.path.join(build, 'material'))

    @staticmethod
    def cudnn_of_python():
        """Where pip has put cuDNN and what it opens, which Python packages bring along."""
        found = []
        for folder in sys.path:
            found += glob.glob(os.path.join(folder, 'nvidia', '*', 'lib'))
        return found if any(glob.glob(os.path.join(f, 'libcudnn.so.9')) for f in found) else []

    def step(self, name, command, limit_s, **environment):
        """Runs one step; returns its lines."""
        left = self.until - time.monotonic()
        started = time.monotonic()
        result = {'name': name, 'status': 'no time', 'seconds': 0.0, 'output': ''}
        output = ''
        if command[0] != sys.executable:
            environment = dict(self.libraries, **environment)
        if left > 5:
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False,
                                      timeout=min(limit_s, left),
                                      env=dict(self.environment, **environment))
                output = done.stdout
                result['status'] = 'passed' if done.returncode == 0 else 'failed (%d)' % done.returncode
                result['output'] = (done.stdout + done.stderr)[-6000:]
            except subprocess.TimeoutExpired as late:
                output = (late.stdout or b'').decode(errors='replace')
                result['status'] = 'stopped after %d s' % min(limit_s, left)
                result['output'] = output[-6000:]
            except OSError as error:
                result['status'] = 'not started: %s' % error
        said = [line for line in result['output'].splitlines()
                if line.startswith('skipped') or '# SKIP' in line]
        if result['status'] == 'passed' and said:
            result['status'] = 'passed, but: ' + said[0]
        result['seconds'] = round(time.monotonic() - started, 1)
        self.steps.append(result)
        print('%-28s %6.1f s  %s' % (name, result['seconds'], result['status']), flush=True)
        return output.splitlines()

    def add_rows(self, lines):
        for line in lines:
            words = line.split('\t')
            if len(words) == len(ROW) and words[0] != 'model':
                row = dict(zip(ROW, [os.path.basename(words[0])] + words[1:]))
                for key in ('batch', 'ms', 'images_per_s', 'gflops'):
                    row[key] = float(row[key])
                self.rows.append(row)
                print('  ' + line, flush=True)

    def add_roofline(self, lines):
        for line in lines:
            words = line.split('\t')
            if len(words) == 3:
                self.roofline['%s_%s' % (words[0], words[1].lower().replace('/', '_'))] = \
                    float(words[2])
                print('  ' + line, flush=True)

    def ratios(self):
        """Ours against PyTorch's for the same network, and the share of the measured peak."""
        peer = {r['batch']: r for r in self.rows if r['backend'].startswith('torch')
                and 'compiled' not in r['backend']}
        peak = self.roofline.get('fp16_tflop_s')
        for row in self.rows:
            if peak:
                row['peak_share'] = round(row['gflops'] / 1000 / peak, 4)
            if row['backend'].startswith('cuda') and row['model'].startswith('yolov8n_shaped') and \
                    row['batch'] in peer:
                row['ratio_to_torch'] = round(row['images_per_s'] /
                                              peer[row['batch']]['images_per_s'], 3)


def device():
    try:
        return subprocess.run(['nvidia-smi', '--query-gpu=name,driver_version,memory.total',
                               '--format=csv,noheader'], capture_output=True, text=True,
                              check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ''


def run_all(session, folder):
    def program(name):
        return os.path.join(session.build, name)

    def script(name, *arguments):
        return [sys.executable, os.path.join(HERE, name)] + list(arguments)

    shaped = os.path.join(folder, 'yolov8n_shaped.onnx')
    session.step('the network', script('make_model.py', 'yolov8n', shaped), 60)
    session.step('tests of the backend', [program('tests/cuda_device_test')], 170)
    if os.path.exists(program(VIDEO)):
        session.step('video on the card', [program(VIDEO)], 60)
    session.add_rows(session.step('rates', [program('bench/cuda_bench'), shaped], 130))
    session.add_roofline(session.step('roofline', script('cuda_roofline.py'), 40))
    session.add_rows(session.step('PyTorch', script('cuda_torch.py'), 60))
    default = [path for path in (os.path.join(session.build, 'default.onnx'),
                                 os.path.join(HERE, '..', 'gpu', 'models', 'default.onnx'))
               if os.path.exists(path)]
    if default:
        session.add_rows(session.step('rates, default model',
                                      [program('bench/cuda_bench'), default[0]], 90))
    checker = shutil.which('compute-sanitizer') or '/usr/local/cuda/bin/compute-sanitizer'
    session.step('memory checker', [checker, '--tool', 'memcheck', '--error-exitcode', '1',
                                    program('tests/cuda_device_test')], 90)
    session.add_rows(session.step('PyTorch, compiled', script('cuda_torch.py', '--compile'), 120))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[1])
    parser.add_argument('--build', default=os.environ.get('SIGHTLINE_BUILD', 'build/release'))
    parser.add_argument('--json', nargs='?', const='-', help='a file; - or nothing: standard output')
    parser.add_argument('--seconds', type=int, default=450)
    parser.add_argument('--pack', metavar='FILE.tar.gz')
    parser.add_argument('--video', action='store_true', help='with --pack: what decodes video, too')
    parser.add_argument('--material', default=os.environ.get(
        'SIGHTLINE_MATERIAL', os.path.join(HERE, '..', '..', 'shared', 'material')))
    arguments = parser.parse_args()
    if arguments.pack:
        return pack(arguments.pack, arguments.build, arguments.material,
                    PROGRAMS + ([VIDEO] if arguments.video else []))
    card = device()
    if not card:
        print('skipped: no card (nvidia-smi finds none)', file=sys.stderr)
        return 0
    print(card)
    session = Session(arguments.build, arguments.seconds)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run_all(session, folder)
    session.ratios()
    text = json.dumps({'device': card, 'seconds': round(time.monotonic() - started, 1),
                       'steps': session.steps, 'rows': session.rows,
                       'roofline': session.roofline}, indent=1)
    if arguments.json and arguments.json != '-':
        with io.open(arguments.json, 'w', encoding='utf-8') as file:
            file.write(text + '\n')
    elif arguments.json:
        print(text)
    return 1 if any(step['status'].startswith('failed') for step in session.steps) else 0


if __name__ == '__main__':
    sys.exit(main())
