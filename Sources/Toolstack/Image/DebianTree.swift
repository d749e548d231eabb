// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A folder with what a small Debian needs to boot by GRUB: Debian's kernel with its modules, Debian's busybox as all
/// of the user land, an initial RAM disk that finds the root, and a menu.
struct DebianTree {
  /// The folder, which becomes the file system.
  let root: String
  /// Where else files may be made.
  let work: String
  let progress: @Sendable (String) -> Void

  private static let metapackage = "linux-image-cloud-amd64"
  /// Modules that the initial RAM disk loads: the front ends of block devices and networks.
  private static let modules = ["drivers/block/xen-blkfront.ko", "drivers/net/xen-netfront.ko"]

  /// Makes it.
  /// - Returns: the kernel's version.
  func make(package: String?) throws(ToolstackError) -> String {
    // What is missing is said before anything is fetched.
    let busybox = try Self.busybox()
    let archiver = try HostProgram("cpio", package: "cpio")
    let packer = try HostProgram("gzip", package: "gzip")
    _ = try HostProgram("mke2fs", package: "e2fsprogs")
    try makeFolders([""], in: root)
    try unpack(package)
    let version = try kernelVersion()
    progress("Linux \(version): its kernel is repacked for GRUB")
    try repackKernel(version, packer)
    progress("the user land")
    try installUserLand(busybox, version)
    progress("the initial RAM disk")
    try makeRAMDisk(busybox, version, archiver, packer)
    try makeFolders(["boot/grub"], in: root)
    try DiskImageBuilder.write(DebianFiles.menu(version), to: "\(root)/boot/grub/grub.cfg")
    return version
  }

  private func makeFolders(_ names: [String], in folder: String) throws(ToolstackError) {
    for name in names {
      do {
        try FileManager.default.createDirectory(
          atPath: "\(folder)/\(name)", withIntermediateDirectories: true,
          attributes: [.posixPermissions: 0o755]
        )
      } catch {
        throw ToolstackError("\(folder)/\(name) cannot be made: \(error.localizedDescription)")
      }
    }
  }

  // MARK: The kernel

  /// Debian's package of the kernel, unpacked into the root.
  private func unpack(_ package: String?) throws(ToolstackError) {
    var isFolder: ObjCBool = false
    if let package {
      guard FileManager.default.fileExists(atPath: package, isDirectory: &isFolder) else {
        throw ToolstackError("package \(package): there is no such file; correct the path")
      }
      guard !isFolder.boolValue else {
        progress("\(package) is copied")
        try HostProgram("cp", package: "coreutils").run(["-a", "\(package)/.", root])
        return
      }
    }
    let unpacker = try HostProgram("dpkg-deb", package: "dpkg")
    let file: String
    if let package { file = package } else { file = try download() }
    progress("\(file.split(separator: "/").last ?? "") is unpacked")
    try unpacker.run(["-x", file, root])
  }

  /// Downloads the package that Debian's metapackage stands for.
  private func download() throws(ToolstackError) -> String {
    let knows = try HostProgram("apt-cache", package: "apt")
    let fetch = try HostProgram("apt-get", package: "apt")
    let name = (try? knows.run(["depends", Self.metapackage]))?.split(separator: "\n").lazy
      .compactMap { $0.split(separator: " ").last }.first {
        $0.hasPrefix("linux-image-") && $0 != Self.metapackage
      }
    guard let name else {
      throw ToolstackError("apt knows no \(Self.metapackage): apt-get update, on a Debian for amd64")
    }
    progress("\(name) is downloaded")
    let folder = "\(work)/package"
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      try fetch.run(["-q", "download", "\(name)"], in: folder)
    } catch {
      throw ToolstackError("\(name) cannot be downloaded: apt-get update, or look at the network (\(error))")
    }
    guard let file = DiskImageBuilder.names(in: folder).first(where: { $0.hasSuffix(".deb") }) else {
      throw ToolstackError("\(name) cannot be downloaded: apt-get left no package")
    }
    return "\(folder)/\(file)"
  }

  private func kernelVersion() throws(ToolstackError) -> String {
    let kernels = DiskImageBuilder.names(in: "\(root)/boot").filter { $0.hasPrefix("vmlinuz-") }
    guard kernels.count == 1, let kernel = kernels.first else {
      throw ToolstackError("the package holds \(kernels.count) kernels boot/vmlinuz-…; one is needed")
    }
    return String(kernel.dropFirst("vmlinuz-".count))
  }

  /// GRUB 2.06 unpacks what gzip packs; Debian packs its kernels for the cloud otherwise.
  private func repackKernel(_ version: String, _ packer: HostProgram) throws(ToolstackError) {
    let packed = "\(root)/boot/vmlinuz-\(version)"
    let plain = "\(work)/vmlinux"
    do {
      let bytes = try CompressedImage.unpack(
        HostFile.read(packed, role: "kernel", limit: HostFile.kernelLimit), limit: HostFile.kernelLimit)
      _ = try KernelImage(bytes)
      try Data(bytes).write(to: URL(fileURLWithPath: plain))
    } catch let error as ImageProblem {
      throw ToolstackError("the package's kernel \(version): \(error.message)")
    } catch {
      throw ToolstackError("the package's kernel \(version): \(error)")
    }
    try packer.run(["-n", "-c", plain], output: "\(root)/boot/vmlinux-\(version)")
    unlink(packed)
    unlink(plain)
  }

  // MARK: The user land

  /// Debian's busybox, which must need nothing else.
  private static func busybox() throws(ToolstackError) -> HostProgram {
    let busybox = try HostProgram("busybox", package: "busybox-static")
    let bytes = try HostFile.read(busybox.path, role: "program", limit: 1 << 26)
    guard let interpreter = try? ExecutableFile(bytes).needsInterpreter, !interpreter else {
      throw ToolstackError("\(busybox.path) is not linked statically: apt-get install busybox-static")
    }
    return busybox
  }

  private func copy(_ file: String, to place: String) throws(ToolstackError) {
    do {
      try FileManager.default.copyItem(atPath: file, toPath: place)
    } catch {
      throw ToolstackError("\(file) cannot be copied: \(error.localizedDescription)")
    }
  }

  private func installUserLand(_ busybox: HostProgram, _ version: String) throws(ToolstackError) {
    try makeFolders(
      [
        "bin", "sbin", "usr/bin", "usr/sbin", "dev", "proc", "sys", "run", "tmp", "root", "mnt", "var/log",
        "etc",
      ], in: root)
    try copy(busybox.path, to: "\(root)/bin/busybox")
    for command in try busybox.run(["--list-full"]).split(separator: "\n") where command != "bin/busybox" {
      symlink("/bin/busybox", "\(root)/\(command)")
    }
    for (name, text) in DebianFiles.etc {
      try DiskImageBuilder.write(text, to: "\(root)/etc/\(name)", executable: text.hasPrefix("#!"))
    }
    // What modprobe goes by.
    try busybox.run(["depmod", "-b", root, version])
  }

  /// The initial RAM disk: an archive of the files that find the root.
  private func makeRAMDisk(
    _ busybox: HostProgram, _ version: String, _ archiver: HostProgram, _ packer: HostProgram
  ) throws(ToolstackError) {
    let folder = "\(work)/ramdisk"
    let folders = ["bin", "dev", "proc", "sys", "root"]
    try makeFolders(folders, in: folder)
    try copy(busybox.path, to: "\(folder)/bin/busybox")
    var names = folders + ["bin/busybox", "init"]
    for module in Self.modules {
      let name = String(module.split(separator: "/").last ?? "")
      let file = "\(root)/lib/modules/\(version)/kernel/\(module)"
      // A front end that is no module is part of the kernel.
      guard access(file, R_OK) == 0 else { continue }
      try copy(file, to: "\(folder)/\(name)")
      names.append(name)
    }
    try DiskImageBuilder.write(DebianFiles.initialProgram, to: "\(folder)/init", executable: true)
    try DiskImageBuilder.write(names.joined(separator: "\n") + "\n", to: "\(work)/names")
    try archiver.run(
      ["-o", "-H", "newc", "-R", "0:0", "--quiet"], in: folder, input: "\(work)/names",
      output: "\(work)/archive")
    try packer.run(["-n", "-c", "\(work)/archive"], output: "\(root)/boot/initrd-\(version)")
  }
}
