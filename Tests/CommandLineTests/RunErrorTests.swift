// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing

@Suite("lockstep run, when it cannot")
struct RunErrorTests {
  /// Runs a configuration, and expects one line of complaint, exit status 2, and nothing else.
  private func expect(_ scratch: Scratch, _ configuration: String, _ message: String) {
    let file = scratch.write("guest.cfg", configuration)
    let result = Program.run(Program.lockstep, ["run", file])
    let expected = message.replacing("DIR", with: scratch.path)
    #expect(result.end == .exited(2))
    #expect(result.error == "lockstep: \(expected)\n")
    #expect(result.output == "")
  }

  @Test("for lack of a configuration says so")
  func noConfiguration() {
    let result = Program.run(Program.lockstep, ["run", "/nonexistent/guest.cfg"])
    #expect(result.end == .exited(2) && result.output == "")
    #expect(
      result.error
        == "lockstep: configuration /nonexistent/guest.cfg: there is no such file; correct the path\n")
    #expect(Program.run(Program.lockstep, ["run"]).end == .exited(2))
    #expect(Program.run(Program.lockstep, ["run", "--no-such-flag", "x"]).end == .exited(2))
  }

  @Test("for a trace that cannot be written, or is none, says so")
  func badTrace() {
    let scratch = Scratch()
    let file = scratch.write("guest.cfg", "kernel = '/bin/ls'\n")
    let run = Program.run(Program.lockstep, ["run", "--trace", "/nonexistent/trace", file])
    #expect(run.end == .exited(2))
    #expect(
      run.error == "lockstep: trace /nonexistent/trace: it cannot be written: No such file or directory\n")
    let replay = Program.run(Program.lockstep, ["replay", file])
    #expect(replay.end == .exited(2) && replay.output == "")
    #expect(
      replay.error == "lockstep: \(file): it is no trace; record one with lockstep run --trace\n")
  }

  @Test("for a mistake in the configuration names the place")
  func badConfiguration() {
    let scratch = Scratch()
    expect(scratch, "kernel = 'k'\nmemory = 3\n", "DIR/guest.cfg:2:10: memory is 4 to 65536 MiB, not 3")
    expect(
      scratch, "type = 'hvm'",
      "DIR/guest.cfg:1:8: type = \"hvm\" is not supported; only PV and PVH domains are: write type = \"pv\" and give "
        + "a PV kernel")
  }

  @Test(
    "for a PVH domain on software KVM says why, and what to write, before it looks at the kernel",
    .enabled(if: Requirement.hasSoftwareKVM, "this machine has no software KVM"))
  func noPVH() {
    expect(
      Scratch(), "type = 'pvh'\nkernel = '/nonexistent'",
      "type = \"pvh\" needs hardware KVM; this machine's is software, which emulates CPL 0 one instruction at a time, "
        + "and not all of them: write type = \"pv\" and give a PV kernel")
  }

  @Test("for more memory than the host has says so")
  func tooMuchMemory() {
    let scratch = Scratch()
    let available = sysconf(Int32(_SC_PHYS_PAGES)) / 256
    guard available < 65536 else { return }
    expect(
      scratch, "kernel = '/bin/ls'\nmemory = 65536",
      "memory = 65536 is more than this host has, \(available) MiB; give the domain less")
  }

  @Test("for a kernel that is none, or none of a PV guest, says what it is")
  func badKernel() {
    let scratch = Scratch()
    scratch.write("script", "#!/bin/sh\n")
    expect(scratch, "kernel = '/nonexistent'", "kernel /nonexistent: there is no such file; correct the path")
    expect(scratch, "kernel = '/tmp'", "kernel /tmp: it is no file; correct the path")
    expect(
      scratch, "kernel = '\(scratch.path)/script'", "kernel DIR/script: not a PV kernel: it is no ELF file")
    expect(
      scratch, "kernel = '/bin/ls'",
      "kernel /bin/ls: an ELF file but not a PV kernel: it has neither Xen notes nor a __xen_guest section")
  }

  @Test(
    "for a kernel cut short, or too large for the memory, says so",
    .enabled(if: Requirement.hasGRUB, "the package grub-xen-host is not installed"))
  func cutKernel() {
    let scratch = Scratch()
    #expect(
      Program.run("/bin/sh", ["-c", "head -c 100000 \(Requirement.grub) > \(scratch.path)/cut"]).end
        == .exited(0))
    expect(scratch, "kernel = '\(scratch.path)/cut'", "kernel DIR/cut: the file is cut off; copy it again")
    expect(
      scratch, "kernel = '\(Requirement.grub)'\nmemory = 5",
      "kernel \(Requirement.grub): the domain's memory is too small for it: it needs at least memory = 7")
    expect(
      scratch, "kernel = '\(Requirement.grub)'\nramdisk = '/nonexistent'",
      "ramdisk /nonexistent: there is no such file; correct the path")
  }

  @Test(
    "for a disk that is missing, or in use by another run, says which and what to do",
    .enabled(if: Requirement.hasGRUB, "the package grub-xen-host is not installed"))
  func badDisk() {
    let scratch = Scratch()
    let disk = scratch.write("disk", String(repeating: "x", count: 4096))
    expect(
      scratch, "kernel = '\(Requirement.grub)'\ndisk = ['/nonexistent,raw,xvda,rw']",
      "disk xvda: /nonexistent: there is no such file; create it, or correct the path")
    let other = open(disk, O_RDONLY | O_CLOEXEC)
    #expect(flock(other, LOCK_EX) == 0)
    expect(
      scratch, "kernel = '\(Requirement.grub)'\ndisk = ['\(disk),raw,xvda,rw']",
      "disk xvda: DIR/disk: it is in use by another run; end that one, or give both access=ro")
    close(other)
  }

  @Test(
    "for a disk that is a directory, no disk, too small or not to be written says so",
    .enabled(if: Requirement.hasGRUB, "the package grub-xen-host is not installed"))
  func unusableDisk() {
    let scratch = Scratch()
    scratch.write("small", "less than a sector")
    func expectRefusal(_ target: String, _ message: String) {
      expect(
        scratch, "kernel = '\(Requirement.grub)'\ndisk = ['\(target),raw,xvda,rw']", "disk xvda: \(message)")
    }
    expectRefusal(scratch.path, "DIR: it is a directory; give a raw disk image")
    expectRefusal("/dev/null", "/dev/null: it is neither a file nor a block device; give a raw disk image")
    expectRefusal(
      "\(scratch.path)/small", "DIR/small: it has no whole sector of 512 bytes; give a raw disk image")
    expect(
      scratch, "kernel = '\(Requirement.grub)'\ndisk = ['/x,raw,xvda,rw', '/y,raw,xvda,rw']",
      "DIR/guest.cfg:2:27: two disks are called xvda; give each its own name")
  }

  @Test(
    "for a network that cannot be had says so",
    .enabled(if: Requirement.hasGRUB, "the package grub-xen-host is not installed"))
  func badNetwork() {
    let scratch = Scratch()
    expect(
      scratch, "kernel = '\(Requirement.grub)'\nvif = ['hostfwd=tcp:192.0.2.1:8080-:80']",
      "vif: tcp:192.0.2.1:8080-:80: Cannot assign requested address; name another port or address")
    expect(
      scratch, "kernel = '\(Requirement.grub)'\nvif = ['vifname=longer-than-a-name']",
      "vif: 'longer-than-a-name' is no name of an interface: it has 1 to 15 bytes")
  }

  /// Runs a configuration under another program, and expects one line of complaint.
  private func expect(under command: [String], _ message: String) {
    let scratch = Scratch()
    // Whoever it runs as must be able to read it.
    chmod(scratch.path, 0o755)
    let file = scratch.write("guest.cfg", "kernel = '\(Requirement.grub)'\n")
    chmod(file, 0o644)
    let result = Program.run("/usr/bin/env", command + [Program.lockstep, "run", file])
    #expect(result.end == .exited(2) && result.output == "")
    #expect(result.error == "lockstep: \(message)\n")
  }

  @Test(
    "for lack of permission to use /dev/kvm says so",
    .enabled(if: Requirement.hasGRUB, "the package grub-xen-host is not installed"),
    .enabled(if: Requirement.othersLackKVM, "not root, or /dev/kvm is open to all"))
  func noPermission() {
    expect(
      under: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
      "no permission to open /dev/kvm: add yourself to the group that owns it (usually kvm)")
  }

  @Test(
    "for a /dev/kvm that is not there, or is something else, says so",
    .enabled(if: Requirement.hasGRUB, "the package grub-xen-host is not installed"),
    .enabled(if: Requirement.canHideKVM, "this user cannot make a file system of its own"))
  func hiddenKVM() {
    expect(
      under: ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /dev && exec \"$@\"", "sh"],
      "no /dev/kvm: load the kernel's kvm_intel or kvm_amd module, or run on a machine that has KVM")
    guard Requirement.hasKVM else { return }
    expect(
      under: ["unshare", "-m", "sh", "-c", "mount --bind /dev/zero /dev/kvm && exec \"$@\"", "sh"],
      "this kernel's KVM lacks version 12 of its interface: a newer kernel is needed")
  }

  @Test(
    "for lack of /dev/kvm says so",
    .enabled(if: Requirement.hasGRUB, "the package grub-xen-host is not installed"),
    .enabled(if: !Requirement.hasKVM, "there is a usable /dev/kvm here"))
  func noKVM() {
    let scratch = Scratch()
    let file = scratch.write("guest.cfg", "kernel = '\(Requirement.grub)'")
    let result = Program.run(Program.lockstep, ["run", file])
    #expect(result.end == .exited(2) && result.output == "")
    #expect(result.error.contains("/dev/kvm") && result.error.split(separator: "\n").count == 1)
  }
}
