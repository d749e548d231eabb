// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@Suite(
  "Linux in lockstep run", .serialized,
  .enabled(if: Requirement.hasKVM, "no usable /dev/kvm"),
  .enabled(
    if: Requirement.linux != nil, "no kernel of linux-image-cloud-amd64: install it, or run .ci/hardware-kvm"),
  .enabled(if: Requirement.canMakeRAMDisk, "the packages busybox-static and cpio are not installed"))
struct RunLinuxTests {
  /// A RAM disk whose init runs some commands of busybox, and switches off.
  /// - Parameter module: a kernel module that lies on it.
  private func makeRAMDisk(_ scratch: Scratch, _ commands: [String], module: String? = nil) -> String {
    let names = ["mount", "insmod", "mkdir", "cat", "dd", "sync", "md5sum", "umount", "echo", "sleep"]
    let aliases = names.map { "\($0)() { /bin/busybox \($0) \"$@\"; }" }
    scratch.write(
      "init",
      (["#!/bin/busybox sh"] + aliases + commands + ["/bin/busybox poweroff -f", ""]).joined(separator: "\n"))
    let lines = [
      "mkdir -p \(scratch.path)/root/bin", "cd \(scratch.path)/root",
      "cp \"$(command -v busybox)\" bin/busybox",
      module.map { "cp \($0) module.ko" } ?? ":", "cp ../init init", "chmod +x init",
      "find . | cpio -o -H newc --quiet | gzip >../ramdisk",
    ]
    let made = Program.run("/bin/sh", ["-ec", lines.joined(separator: "\n")])
    #expect(made.end == .exited(0), "\(made.error)")
    return "\(scratch.path)/ramdisk"
  }

  @Test(
    "boots Debian's unmodified kernel to its init beside the specifications", .timeLimit(.minutes(5)),
    arguments: [1, 2])
  func boot(processors: Int) throws {
    let scratch = Scratch()
    let kernel = try #require(Requirement.linux)
    // Without noreplace-smp the kernel patches itself 8,700 times.
    let file = scratch.write(
      "linux.cfg",
      """
      kernel = '\(kernel)'
      ramdisk = '\(makeRAMDisk(scratch, ["echo good morning from init"]))'
      extra = 'console=hvc0 noreplace-smp nr_cpus=\(processors)'
      memory = 256
      vcpus = \(processors)
      """)
    let result = Program.run(Program.lockstep, ["run", "--check", file], seconds: 200)
    #expect(result.end == .exited(0), "\(result.output.suffix(2000)) \(result.error.suffix(2000))")
    #expect(result.output.contains("good morning from init"))
    #expect(result.error.contains("lockstep: checked: Stream: "))
  }

  @Test(
    "reads and writes an ext4 disk beside the specifications", .timeLimit(.minutes(5)),
    .enabled(if: Requirement.blockFrontEnd != nil, "the kernel's module xen-blkfront is not here"),
    .enabled(if: Requirement.mke2fs != nil, "the package e2fsprogs is not installed"))
  func disk() throws {
    let scratch = Scratch()
    let kernel = try #require(Requirement.linux)
    let mke2fs = try #require(Requirement.mke2fs)
    let image = "\(scratch.path)/disk.img"
    #expect(mkdir("\(scratch.path)/files", 0o700) == 0)
    scratch.write("files/hello.txt", "Good morning from a disk.\n")
    #expect(
      Program.run(mke2fs, ["-q", "-t", "ext4", "-d", "\(scratch.path)/files", image, "16M"]).end == .exited(0)
    )
    let ramdisk = makeRAMDisk(
      scratch,
      [
        "mkdir -p /dev /proc /disk", "mount -t devtmpfs dev /dev", "mount -t proc proc /proc",
        "insmod /module.ko",
        "sleep 1", "mount -t ext4 /dev/xvda /disk", "cat /disk/hello.txt",
        "dd if=/dev/urandom of=/disk/big bs=64k count=100", "sync", "md5sum /disk/big >/sum",
        "echo 3 >/proc/sys/vm/drop_caches", "md5sum -c /sum", "umount /disk",
      ], module: Requirement.blockFrontEnd)
    let file = scratch.write(
      "linux.cfg",
      """
      kernel = '\(kernel)'
      ramdisk = '\(ramdisk)'
      extra = 'console=hvc0 noreplace-smp nr_cpus=1 quiet'
      memory = 256
      disk = ['\(image),raw,xvda,rw']
      """)
    let result = Program.run(Program.lockstep, ["run", "--check", file], seconds: 200)
    #expect(result.end == .exited(0), "\(result.output.suffix(2000)) \(result.error.suffix(2000))")
    #expect(result.output.contains("Good morning from a disk."))
    #expect(result.output.contains("/disk/big: OK"), "\(result.output.suffix(2000))")
    #expect(result.error.contains("lockstep: checked: Ring: "))
    let checked = Program.run("/usr/bin/env", ["PATH=/usr/sbin:/sbin", "e2fsck", "-fn", image])
    #expect(checked.end == .exited(0), "\(checked.output)")
  }
}
