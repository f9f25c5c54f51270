"""Whole folders on local disks and in s3:// buckets: list, copy, remove."""

from pyarrow import fs

from data.files import filesystem


def subfolders(uri: str) -> list[str]:
    """The names of the folders directly below `uri`, sorted; none when it doesn't exist."""
    system, path = filesystem(uri)
    found = system.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return sorted(info.base_name for info in found if info.type == fs.FileType.Directory)


def copy_folder(source: str, target: str) -> None:
    """Copy every file below `source` to the same place below `target`, from any storage to any."""
    (source_system, source_path), (target_system, target_path) = filesystem(source), filesystem(target)
    target_system.create_dir(target_path, recursive=True)
    fs.copy_files(source_path, target_path, source_filesystem=source_system, destination_filesystem=target_system)


def remove_file(uri: str) -> None:
    """Remove a file if it is there."""
    system, path = filesystem(uri)
    if system.get_file_info(path).type == fs.FileType.File:
        system.delete_file(path)


def remove_folder(uri: str) -> None:
    """Remove a folder and all it holds, if it is there."""
    system, path = filesystem(uri)
    if system.get_file_info(path).type == fs.FileType.Directory:
        system.delete_dir(path)
