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
  /// A RAM disk whose init greets and switches off.
  private func makeRAMDisk(_ scratch: Scratch) -> String {
    let lines = [
      "mkdir -p \(scratch.path)/root/bin", "cd \(scratch.path)/root",
      "cp \"$(command -v busybox)\" bin/busybox",
      "printf '#!/bin/busybox sh\\n/bin/busybox echo good morning from init\\n/bin/busybox poweroff -f\\n' >init",
      "chmod +x init", "find . | cpio -o -H newc --quiet | gzip >../ramdisk",
    ]
    #expect(Program.run("/bin/sh", ["-ec", lines.joined(separator: "\n")]).end == .exited(0))
    return "\(scratch.path)/ramdisk"
  }

  @Test(
    "boots Debian's unmodified kernel to its init beside the specifications", .timeLimit(.minutes(5)),
    arguments: [1, 2])
  func boot(processors: Int) throws {
    let scratch = Scratch()
    let kernel = try #require(Requirement.linux)
    // Without noreplace-smp the kernel patches itself 8,700 times, which takes minutes with plain shadows.
    let file = scratch.write(
      "linux.cfg",
      """
      kernel = '\(kernel)'
      ramdisk = '\(makeRAMDisk(scratch))'
      extra = 'console=hvc0 noreplace-smp nr_cpus=\(processors)'
      memory = 256
      vcpus = \(processors)
      """)
    let result = Program.run(Program.lockstep, ["run", "--check", file], seconds: 200)
    #expect(result.end == .exited(0), "\(result.output.suffix(2000)) \(result.error.suffix(2000))")
    #expect(result.output.contains("good morning from init"))
    #expect(result.error.contains("lockstep: checked: Stream: "))
  }
}
