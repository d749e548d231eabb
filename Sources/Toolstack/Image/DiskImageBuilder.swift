// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// Makes disk images that GRUB for Xen boots from, with the programs of Debian's e2fsprogs and without privileges: an
/// ext4 file system without a partition table.
///
/// All that is made meanwhile lies in one folder in $TMPDIR, which `discard` removes, and the image appears under its
/// name when it is whole.
public final class DiskImageBuilder: Sendable {
  /// What was made.
  public struct Result: Sendable {
    public var path: String
    public var byteCount: Int
    /// Bytes of the files in it, in whole blocks.
    public var contentByteCount: Int
    /// Debian's kernel in it, `6.1.0-1-cloud-amd64`; nil if it is not known.
    public var kernel: String?
    /// What is doubtful, a line each.
    public var warnings: [String]
  }

  private let path: String
  private let requested: Int?
  private let progress: @Sendable (String) -> Void
  /// The folder for what is made meanwhile.
  private let work: String
  private let discarding = Mutex(())

  static let blockSize = 4096

  /// - Parameters:
  ///   - path: the image; there must be no such file yet unless `overwrite`, and then no other kind of file.
  ///   - mebibytes: its size; nil for: twice what it holds and 256 more. It is sparse: what is not used costs nothing.
  ///   - progress: called with each step that begins.
  public init(
    path: String, mebibytes: Int?, overwrite: Bool, progress: @escaping @Sendable (String) -> Void
  ) throws(ToolstackError) {
    if let mebibytes, !(8...(16 << 20)).contains(mebibytes) {
      throw ToolstackError("an image has between 8 MiB and 16 TiB")
    }
    try Self.check(path, overwrite: overwrite)
    self.path = path
    requested = mebibytes
    self.progress = progress
    work = try TemporaryFolder.make(in: ProcessInfo.processInfo.environment["TMPDIR"] ?? "/tmp")
  }

  private static func check(_ path: String, overwrite: Bool) throws(ToolstackError) {
    var status = stat()
    guard stat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw ToolstackError("\(path) is no file; an image is made as one, copy it from there")
    }
    guard overwrite else { throw ToolstackError("\(path) is there already; --force replaces it") }
  }

  /// Removes what was made meanwhile; a program that is at work on it is ended. Any thread may call it.
  public func discard() {
    // Whoever comes second waits until all is gone.
    discarding.withLock { _ in
      HostProgram.stop()
      try? FileManager.default.removeItem(atPath: work)
      unlink(unfinished)
    }
  }

  /// The image, until it is whole: beside its place, so that it need only be renamed.
  private var unfinished: String { "\(path).\(getpid()).unfinished" }

  // MARK: Forms

  /// Makes a folder the file system.
  public func build(folder: String) throws(ToolstackError) -> Result {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue else {
      throw ToolstackError("\(folder): there is no such folder; \"debian\" makes one of Debian's packages")
    }
    var result = try makeFileSystem(of: folder)
    let configurations = ["boot/grub/grub.cfg", "grub/grub.cfg"]
    if !configurations.contains(where: { access("\(folder)/\($0)", F_OK) == 0 }) {
      result.warnings.append(
        "\(folder) holds no boot/grub/grub.cfg: GRUB will show a prompt instead of a menu")
    }
    for name in Self.names(in: "\(folder)/boot").sorted() where name.hasPrefix("vmlinuz") {
      guard let program = Self.unreadable("\(folder)/boot/\(name)") else { continue }
      result.warnings.append(
        "\(folder)/boot/\(name) is packed by \(program), which GRUB 2.06 cannot unpack: unpack it before")
    }
    return result
  }

  /// Makes a small Debian: its kernel, and a user land of busybox.
  /// - Parameter package: Debian's package of the kernel, or a folder that it is unpacked in; nil for: it is downloaded.
  public func buildDebian(package: String?) throws(ToolstackError) -> Result {
    let tree = DebianTree(root: "\(work)/root", work: work, progress: progress)
    let version = try tree.make(package: package)
    var result = try makeFileSystem(of: tree.root)
    result.kernel = version
    return result
  }

  /// The program that unpacks a kernel, if it is one that GRUB 2.06 has no equal to.
  private static func unreadable(_ kernel: String) -> String? {
    guard let bytes = try? HostFile.read(kernel, role: "kernel", limit: HostFile.kernelLimit),
      let program = CompressedImage.program(for: bytes)
    else { return nil }
    return ["gzip", "xz"].contains(program) ? nil : program
  }

  static func names(in folder: String) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
  }

  // MARK: The file system

  private func makeFileSystem(of folder: String) throws(ToolstackError) -> Result {
    let (content, entries) = Self.measure(folder)
    let inodes = entries * 2 + 4096
    let needed = (content + inodes * 256) >> 20 + 8
    let mebibytes = requested ?? (content >> 19 + 256)
    guard needed <= mebibytes else {
      throw ToolstackError(
        "\(folder) does not fit in \(mebibytes) MiB; --size \(needed + needed / 4) will do")
    }
    progress("the file system: \(content >> 20) MiB in \(mebibytes)")
    let make = try HostProgram("mke2fs", package: "e2fsprogs")
    do throws(ToolstackError) {
      // GRUB 2.06 does not know a seed of checksums; the file's zeros need not be written again, by the guest.
      try make.run([
        "-q", "-F", "-t", "ext4", "-b", "\(Self.blockSize)", "-N", "\(inodes)", "-m", "0", "-L", "lockstep",
        "-O", "^metadata_csum_seed", "-E", "assume_storage_prezeroed=1", "-d", folder, unfinished,
        "\(mebibytes)M",
      ])
      if geteuid() != 0 { try giveToRoot() }
      guard rename(unfinished, path) == 0 else {
        throw ToolstackError("\(path) cannot be made: \(String(cString: strerror(errno)))")
      }
    } catch {
      unlink(unfinished)
      throw error
    }
    return Result(
      path: path, byteCount: mebibytes << 20, contentByteCount: content, kernel: nil, warnings: [])
  }

  /// Makes all files root's, as they would be if root had made the image: those that mke2fs copied have the inodes that
  /// follow the reserved ones.
  private func giveToRoot() throws(ToolstackError) {
    let debugfs = try HostProgram("debugfs", package: "e2fsprogs")
    let header = try HostProgram("dumpe2fs", package: "e2fsprogs").run(["-h", unfinished])
    func count(_ name: String) -> Int? {
      header.split(separator: "\n").first { $0.hasPrefix("\(name):") }?.split(separator: " ").last.flatMap {
        Int($0)
      }
    }
    guard let free = count("Free inodes"), let total = count("Inode count") else {
      throw ToolstackError("dumpe2fs does not say how many inodes there are")
    }
    let commands = ([2] + Array(11...max(11, total - free)))
      .map { "sif <\($0)> uid 0\nsif <\($0)> gid 0\n" }.joined()
    let script = "\(work)/owners"
    try Self.write(commands, to: script)
    try debugfs.run(["-w", "-f", script, unfinished])
  }

  /// Bytes in whole blocks, and files, in a folder.
  private static func measure(_ folder: String) -> (bytes: Int, entries: Int) {
    var bytes = 0
    var entries = 1
    for case let name as String in FileManager.default.enumerator(atPath: folder) ?? .init() {
      var status = stat()
      guard lstat("\(folder)/\(name)", &status) == 0 else { continue }
      entries += 1
      // A symbolic link of less than 60 bytes lies in its inode; a sparse file's holes are not copied.
      let isLong = status.st_mode & S_IFMT != S_IFLNK || status.st_size >= 60
      let size = min(Int(status.st_size), Int(status.st_blocks) * 512)
      if isLong { bytes += max(1, (size + blockSize - 1) / blockSize) * blockSize }
    }
    return (bytes, entries)
  }

  static func write(_ text: String, to path: String, executable: Bool = false) throws(ToolstackError) {
    do {
      try text.write(toFile: path, atomically: false, encoding: .utf8)
      try FileManager.default.setAttributes(
        [.posixPermissions: executable ? 0o755 : 0o644], ofItemAtPath: path)
    } catch {
      throw ToolstackError("\(path) cannot be written: \(error.localizedDescription)")
    }
  }
}
