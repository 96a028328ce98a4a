//! A small file system of its own, for tests that fill it or break it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tempfile::TempDir;

use crate::guardian;

/// An ext4 in a file, mounted until it is dropped. Drop it after everybody who has files open there.
#[derive(Debug)]
pub struct Volume {
    dir: TempDir,
}

impl Volume {
    /// Makes and mounts one of that size. It becomes read-only when it finds itself damaged.
    ///
    /// # Panics
    /// When the test does not run as root, or loop devices or e2fsprogs are missing.
    #[track_caller]
    pub fn new(mib: u64) -> Volume {
        let root = rustix::process::geteuid().is_root();
        assert!(root, "a test that mounts a volume needs root: run it as root, or leave it out by name");
        let control = Path::new("/dev/loop-control");
        assert!(control.exists(), "a test that mounts a volume needs {} (modprobe loop)", control.display());
        let volume = Volume { dir: guardian::temp_dir("volume") };
        let image = File::create(volume.image()).expect("the image can be made");
        image.set_len(mib << 20).expect("the image can have its length");
        fs::create_dir(volume.path()).expect("the mount point can be made");
        // Without blocks that only root may use: what is free is free for all.
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(volume.image()));
        volume.mount();
        volume
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(self.image()).arg(self.path()));
    }

    /// Bytes that are free.
    pub fn free_bytes(&self) -> u64 {
        let stat = statvfs(self.path()).expect("a mounted volume can be looked at");
        stat.f_bavail * stat.f_frsize
    }

    /// Has a file take everything but so many bytes.
    pub fn fill(&self, leave_bytes: u64) {
        let ballast = File::create(self.ballast()).expect("a file can be made on the volume");
        // A step a time: a single large one may fail for want of blocks that describe it.
        let mut at = 0;
        while self.free_bytes() > leave_bytes {
            let step = (self.free_bytes() - leave_bytes).min(1 << 20);
            if fallocate(&ballast, FallocateFlags::empty(), at, step).is_err() {
                break;
            }
            at += step;
        }
    }

    /// Gives back what [`fill`](Volume::fill) took.
    pub fn relieve(&self) {
        fs::remove_file(self.ballast()).expect("the ballast is there");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Has the file system find an error in itself: from now on it is read-only, also for those who have files open.
    /// (A plain `mount -o remount,ro` is refused while somebody has.)
    #[track_caller]
    pub fn break_down(&self) {
        let mounts = fs::read_to_string("/proc/mounts").expect("/proc is mounted");
        let path = self.path();
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == path.to_str());
        let device =
            line.and_then(|line| line.split(' ').next()?.strip_prefix("/dev/")).expect("it is mounted");
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        fs::write(&trigger, "a test").unwrap_or_else(|e| panic!("{trigger}: {e}"));
    }

    /// Unmounts, repairs and mounts it again. Nobody may have files open there.
    #[track_caller]
    pub fn repair(&self) {
        run(Command::new("umount").arg(self.path()));
        // Its code says what it has repaired; mounting shows whether that was enough.
        let _ = Command::new("e2fsck")
            .arg("-fy")
            .arg(self.image())
            .output()
            .expect("e2fsck (e2fsprogs) is installed");
        self.mount();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: whoever is still there, the directory goes.
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let program = command.get_program().display().to_string();
    let output = command.output().unwrap_or_else(|e| {
        panic!("a test that mounts a volume needs {program} (apt-get install e2fsprogs mount): {e}")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} fails, {}: {said}", output.status);
}
