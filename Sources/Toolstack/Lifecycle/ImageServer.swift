// SPDX-License-Identifier: Apache-2.0

import Devices
import Glibc

/// Disks whose format is read by QEMU's qemu-nbd, a process of its own for each, which ends when its disk is closed.
enum ImageServer {
  /// Opens a disk of the format qcow2. qemu-nbd locks the image, and may read others that this one names as its base.
  static func open(_ disk: DiskConfiguration) throws(ToolstackError) -> ServedDisk {
    let program = try HostProgram("qemu-nbd", package: "qemu-utils")
    // Nobody else can reach it. Not where TMPDIR says: a socket's path is short.
    let folder = try TemporaryFolder.make(in: "/tmp")
    let socket = "\(folder)/socket"
    // The connection needs neither any more once it is there.
    defer {
      unlink(socket)
      rmdir(folder)
    }
    try program.run(
      [
        // The parent returns when the socket is there.
        "--fork", "--socket=\(socket)", "--cache=writeback",
        disk.discard ? "--discard=unmap" : "--discard=ignore",
      ] + (disk.readOnly ? ["--read-only"] : []) + ["--image-opts", imageOptions(disk.target)])
    do {
      return try ServedDisk(
        socket: socket, path: disk.target, readOnly: disk.readOnly, discard: disk.discard)
    } catch {
      throw ToolstackError(error.description)
    }
  }

  /// Any path, with no part of it read as anything else; a comma is written twice.
  private static func imageOptions(_ path: String) -> String {
    let name = path.split(separator: ",", omittingEmptySubsequences: false).joined(separator: ",,")
    return "driver=qcow2,file.driver=file,file.filename=\(name)"
  }
}
