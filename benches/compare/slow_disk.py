"""A slow disk: ext4 on a loop device, with reads held to a rate for one cgroup (v1 blkio).

Everything is undone on the way out, whatever happened: unmount, detach the device, remove the
cgroup. The image lies in the scratch directory of the run.
"""

import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path

from skip import Skip

IMAGE_BYTES = 320 * 1024 * 1024
READ_RATE = 8 * 1024 * 1024


def blkio_root():
    """Where the v1 blkio controller is mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, flags, *_ = line.split()
        if kind == "cgroup" and "blkio" in flags.split(","):
            return Path(where)
    return None


def require():
    missing = [tool for tool in ("losetup", "mkfs.ext4", "mount", "umount") if shutil.which(tool) is None]
    if os.geteuid() != 0:
        missing.append("root")
    root = blkio_root()
    if root is None or not (root / "blkio.throttle.read_bps_device").exists():
        missing.append("the v1 blkio controller with throttling")
    if not Path("/dev/loop-control").exists():
        missing.append("loop devices")
    if missing:
        raise Skip(f"needs {', '.join(missing)}")


def call(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Disk:
    """A formatted loop device and the cgroup for which it is slow."""

    def __init__(self, device, mount_point, cgroup):
        self.device, self.mount_point, self.cgroup = device, mount_point, cgroup

    @contextmanager
    def mounted(self):
        """A fresh mount has nothing in memory. Default options: access times are kept, as users have it."""
        call("mount", self.device, self.mount_point)
        try:
            yield self.mount_point
        finally:
            call("umount", self.mount_point)


@contextmanager
def slow_disk(scratch):
    require()
    with ExitStack() as undo:
        image, mount_point = scratch / "disk.img", scratch / "disk"
        mount_point.mkdir()
        undo.callback(mount_point.rmdir)
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        undo.callback(image.unlink)
        call("mkfs.ext4", "-q", "-F", image)
        device = call("losetup", "--find", "--show", image)
        undo.callback(call, "losetup", "--detach", device)
        cgroup = blkio_root() / f"swiftd-compare-{os.getpid()}"
        cgroup.mkdir()
        undo.callback(cgroup.rmdir)
        number = os.stat(device).st_rdev
        (cgroup / "blkio.throttle.read_bps_device").write_text(f"{os.major(number)}:{os.minor(number)} {READ_RATE}")
        yield Disk(device, mount_point, cgroup)
