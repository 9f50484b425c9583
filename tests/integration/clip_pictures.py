"""Pictures out of the test material's clips, to measure networks on; no more than half a minute of work."""
import glob
import os
import subprocess

# One picture in so many; those half way between them make a second set that shares none with the first.
CLIPS = {"opendatacam_street": 20, "vehicle_survaillance": 20, "pedestrian_survaillance": 20, "one-by-one-person-detection": 60}


def write(videos, place, half, most=24):
    """The first (0) or the second (1) set, at most so many of each clip, into a new folder: its files."""
    os.mkdir(place)
    for clip, every in CLIPS.items():
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-i", os.path.join(videos, clip + ".mp4"), "-vf",
                        f"select='eq(mod(n,{every}),{every // 2 * half})'", "-vsync", "0", "-frames:v", str(most),
                        os.path.join(place, clip + "_%03d.png")], check=True, timeout=60)
    return sorted(glob.glob(os.path.join(place, "*.png")))
