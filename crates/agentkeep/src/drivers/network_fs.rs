//! Whether a path is on a network file system.

use std::path::Path;

/// File system types whose locks go over a network.
const TYPES: [&str; 20] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ncpfs",
    "9p",
    "afs",
    "ceph",
    "lustre",
    "glusterfs",
    "gpfs",
    "beegfs",
    "ocfs2",
    "gfs2",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.s3fs",
    "fuse.rclone",
    "davfs",
];

/// The type of the network file system that holds `folder`, which exists; `None` for a local one
/// and where the system does not tell.
pub(in crate::drivers) fn holding(folder: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let folder = folder.canonicalize().ok()?;
    let kind = type_of(&mounts, &folder)?;
    TYPES.contains(&kind.as_str()).then_some(kind)
}

/// The type of the mount with the longest path that holds `folder`; of two with the same path the
/// later one covers the other. The form is that of proc(5).
fn type_of(mounts: &str, folder: &Path) -> Option<String> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let (Some(point), Some((_, rest))) = (line.split(' ').nth(4), line.split_once(" - "))
        else {
            continue;
        };
        let point = unescaped(point);
        let kind = rest.split(' ').next().unwrap_or_default();
        if folder.starts_with(&point) && best.is_none_or(|(len, _)| point.len() >= len) {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind.to_owned())
}

/// Space, tab, newline and backslash stand as `\040` and so on.
fn unescaped(point: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(point.to_owned(), |point, (escape, plain)| point.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /home rw,nosuid shared:5 - nfs4 server:/home rw
31 22 0:27 / /mnt/my\\040disk rw - fuse.sshfs me@host: rw
32 30 0:28 / /home/local rw shared:7 master:1 - xfs /dev/sdb rw
33 22 0:29 / /over rw - cifs //s/x rw
34 22 0:30 / /over rw - tmpfs tmpfs rw
";

    #[test]
    fn the_longest_and_latest_mount_counts() {
        for (path, kind) in [
            ("/var/lib", "ext4"),
            ("/home", "nfs4"),
            ("/home/me/keep", "nfs4"),
            ("/homework", "ext4"),
            ("/home/local/x", "xfs"),
            ("/mnt/my disk/a", "fuse.sshfs"),
            ("/over/x", "tmpfs"),
        ] {
            assert_eq!(type_of(MOUNTS, Path::new(path)).as_deref(), Some(kind), "{path}");
        }
        assert!(
            TYPES.contains(&"nfs4") && TYPES.contains(&"fuse.sshfs") && !TYPES.contains(&"xfs")
        );
    }
}
