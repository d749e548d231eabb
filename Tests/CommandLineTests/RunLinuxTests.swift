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
    let names = [
      "mount", "insmod", "mkdir", "cat", "dd", "sync", "md5sum", "umount", "echo", "sleep", "ip", "chmod",
      "udhcpc", "wget", "httpd", "grep", "rm", "fstrim",
    ]
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

  /// Writes the configuration of a guest with the kernel and a RAM disk.
  /// - Parameters:
  ///   - options: more for the kernel's command line.
  ///   - more: further lines.
  private func configure(
    _ scratch: Scratch, _ ramdisk: String, options: String = " quiet", processors: Int = 1,
    memory: Int = 256, _ more: String = ""
  ) throws -> String {
    let kernel = try #require(Requirement.linux)
    // Without noreplace-smp the kernel patches itself 8,700 times.
    return scratch.write(
      "linux.cfg",
      """
      kernel = '\(kernel)'
      ramdisk = '\(ramdisk)'
      extra = 'console=hvc0 noreplace-smp nr_cpus=\(processors)\(options)'
      memory = \(memory)
      vcpus = \(processors)
      \(more)
      """)
  }

  /// Starts a program that writes into files of the scratch folder: `name`, and `name-error`.
  private func start(_ scratch: Scratch, _ path: String, _ arguments: [String], _ name: String)
    -> ChildProcess
  {
    ChildProcess(
      path, arguments, input: .file(path: "/dev/null", flags: O_RDONLY),
      output: .file(path: "\(scratch.path)/\(name)", flags: O_WRONLY | O_CREAT),
      error: .file(path: "\(scratch.path)/\(name)-error", flags: O_WRONLY | O_CREAT))
  }

  @Test(
    "boots Debian's unmodified kernel to its init beside the specifications", .timeLimit(.minutes(5)),
    arguments: [(1, "--check"), (2, "--check"), (2, "--check=sample")])
  func boot(processors: Int, check: String) throws {
    let scratch = Scratch()
    let ramdisk = makeRAMDisk(scratch, ["echo good morning from init"])
    let file = try configure(scratch, ramdisk, options: "", processors: processors)
    let result = Program.run(Program.lockstep, ["run", check, file], seconds: 200)
    #expect(result.end == .exited(0), "\(result.output.suffix(2000)) \(result.error.suffix(2000))")
    #expect(result.output.contains("good morning from init"))
    let sampled = result.error.firstMatch(of: /Shadow: ([0-9]+) operations of ([0-9]+), in ([0-9]+) windows/)
    if check == "--check" {
      #expect(sampled == nil)
    } else {
      let (_, compared, all, windows) = try #require(sampled).output
      let counts = try [compared, all, windows].map { try #require(Int($0)) }
      #expect(counts[2] >= 2 && counts[0] <= counts[2] * 2048 && counts[1] > counts[0])
    }
    #expect(result.error.contains("lockstep: checked: Stream: "))
    #expect(result.error.contains("lockstep: checked: Shadow: ") && !result.error.contains("not checked"))
  }

  /// Memory of a process that the system holds, in KiB: a line of `/proc/PROCESS/status`.
  private func memory(_ line: String, of child: ChildProcess) -> Int {
    let lines = Program.contents("/proc/\(child.process)/status").split(separator: "\n")
    let fields = lines.first { $0.hasPrefix("\(line):") }?.split(whereSeparator: \.isWhitespace) ?? []
    return fields.count > 1 ? Int(fields[1]) ?? 0 : 0
  }

  /// Of its memory files, in MiB.
  private func sharedMemory(_ child: ChildProcess) -> Int { memory("RssShmem", of: child) >> 10 }

  @Test(
    "restarts in its sandbox, and takes at most 32 MiB beyond the 128 of its guest", .timeLimit(.minutes(5)))
  func overhead() throws {
    let scratch = Scratch()
    let ramdisk = makeRAMDisk(
      scratch,
      [
        "mkdir -p /dev /full", "mount -t devtmpfs dev /dev", "mount -t tmpfs -o size=100M full /full",
        // Memory that was never touched costs nothing. This is all there is, and the kernel may say so.
        "dd if=/dev/zero of=/full/file bs=1M count=64", "echo filled", "sleep 3", "/bin/busybox reboot -f",
      ])
    let file = try configure(scratch, ramdisk, memory: 128)
    let child = start(scratch, Program.lockstep, ["run", file], "shown")
    for life in 1...2 {
      func lives() -> Int { scratch.read("shown").matches(of: /filled/).count }
      for _ in 0..<600 where lives() < life { usleep(100_000) }
      try #require(lives() == life, "\(scratch.read("shown").suffix(1000)) \(scratch.read("shown-error"))")
      usleep(500_000)
      let (all, pool) = (memory("VmRSS", of: child), memory("RssShmem", of: child))
      print("life \(life): \(all - (128 << 10)) KiB beyond the guest's 128 MiB; the pool has \(pool)")
      #expect(pool >= 126 << 10, "the guest has not touched its memory")
      #expect(all <= 160 << 10)
    }
    child.send(SIGTERM)
    #expect(child.wait(seconds: 60) == .killed(SIGTERM))
  }

  @Test("gives memory back to the host by its balloon, and takes it again", .timeLimit(.minutes(5)))
  func balloon() throws {
    let scratch = Scratch()
    let name = "balloon\(getpid())"
    let info = "/sys/devices/system/xen_memory/xen_memory0/info/current_kb"
    func waiting(for mebibytes: Int, _ word: String) -> String {
      "while [ $(cat \(info)) != \(mebibytes << 10) ]; do sleep 0.2; done; echo \(word) $(grep MemTotal /proc/meminfo)"
    }
    // Memory that was never touched costs nothing: what is to come back is touched first.
    let fill = "dd if=/dev/zero of=/full/file bs=1M count=140; rm /full/file"
    let ramdisk = makeRAMDisk(
      scratch,
      [
        "mkdir -p /dev /proc /sys /full", "mount -t devtmpfs dev /dev",
        "mount -t tmpfs -o size=150M full /full",
        "mount -t proc proc /proc", "mount -t sysfs sys /sys", fill,
        "echo filled once",
        waiting(for: 112, "shrunk"), waiting(for: 240, "grown"), fill, "echo filled again", "sleep 2",
      ])
    let file = try configure(scratch, ramdisk, "name = '\(name)'")
    let child = start(scratch, Program.lockstep, ["run", file], "shown")
    func wait(for text: String) throws {
      for _ in 0..<600 where !scratch.read("shown").contains(text) { usleep(100_000) }
      try #require(scratch.read("shown").contains(text), "\(scratch.read("shown").suffix(1000))")
    }
    func setMemory(_ mebibytes: Int) -> Program.Result {
      Program.run(Program.lockstep, ["mem-set", name, "\(mebibytes)"])
    }
    try wait(for: "filled once")
    let full = sharedMemory(child)
    #expect(full >= 140)
    #expect(setMemory(112).end == .exited(0))
    try wait(for: "shrunk MemTotal:")
    let shrunk = sharedMemory(child)
    #expect(shrunk <= full - 60, "\(full) MiB, then \(shrunk)")
    #expect(Program.run(Program.lockstep, ["list"]).output.contains("  112  "))
    #expect(setMemory(257).error.hasSuffix(" can have between 32 and 256 MiB, not 257\n"))
    #expect(setMemory(240).end == .exited(0))
    try wait(for: "filled again")
    #expect(sharedMemory(child) >= shrunk + 60)
    #expect(child.wait(seconds: 60) == .exited(0), "\(scratch.read("shown-error"))")
  }

  @Test(
    "reads and writes an ext4 disk beside the specifications", .timeLimit(.minutes(5)),
    .enabled(if: Requirement.blockFrontEnd != nil, "the kernel's module xen-blkfront is not here"),
    .enabled(if: Requirement.mke2fs != nil, "the package e2fsprogs is not installed"),
    // Without the package qemu-utils, on a raw one alone.
    arguments: Requirement.hasImageTools ? [false, true] : [false])
  func disk(isConverted: Bool) throws {
    let scratch = Scratch()
    let mke2fs = try #require(Requirement.mke2fs)
    let image = "\(scratch.path)/disk.img"
    #expect(mkdir("\(scratch.path)/files", 0o700) == 0)
    scratch.write("files/hello.txt", "Good morning from a disk.\n")
    #expect(
      Program.run(mke2fs, ["-q", "-t", "ext4", "-d", "\(scratch.path)/files", image, "16M"]).end == .exited(0)
    )
    let converted = "\(scratch.path)/disk.qcow2"
    func convert(_ arguments: String...) {
      if isConverted { #expect(Program.run("/usr/bin/qemu-img", ["convert"] + arguments).end == .exited(0)) }
    }
    convert("-f", "raw", "-O", "qcow2", image, converted)
    let disk = isConverted ? "\(converted),qcow2" : "\(image),raw"
    let ramdisk = makeRAMDisk(
      scratch,
      [
        "mkdir -p /dev /proc /sys /disk", "mount -t devtmpfs dev /dev", "mount -t proc proc /proc",
        "mount -t sysfs sys /sys",
        "insmod /module.ko",
        "sleep 1", "mount -t ext4 /dev/xvda /disk", "cat /disk/hello.txt",
        "dd if=/dev/urandom of=/disk/big bs=64k count=100", "sync", "md5sum /disk/big >/sum",
        "echo 3 >/proc/sys/vm/drop_caches", "md5sum -c /sum",
        "echo $(cat /sys/block/xvda/queue/max_segments) segments", "rm /disk/big", "sync",
        "fstrim /disk && echo trimmed", "umount /disk",
      ], module: Requirement.blockFrontEnd)
    let file = try configure(scratch, ramdisk, "disk = ['\(disk),xvda,rw']")
    let result = Program.run(Program.lockstep, ["run", "--check", file], seconds: 200)
    #expect(result.end == .exited(0), "\(result.output.suffix(2000)) \(result.error.suffix(2000))")
    #expect(result.output.contains("Good morning from a disk."))
    #expect(result.output.contains("/disk/big: OK"), "\(result.output.suffix(2000))")
    #expect(result.error.contains("lockstep: checked: Ring: "))
    // Indirect requests: Linux takes at most 32 of what is offered, and 11 without.
    #expect(result.output.contains("32 segments"), "\(result.output.suffix(2000))")
    // What was removed, 6.4 MB, is the host's again.
    convert("-f", "qcow2", "-O", "raw", converted, image)
    var status = stat()
    #expect(result.output.contains("trimmed") && stat(image, &status) == 0 && status.st_blocks < 10_000)
    let checked = Program.run("/usr/bin/env", ["PATH=/usr/sbin:/sbin", "e2fsck", "-fn", image])
    #expect(checked.end == .exited(0), "\(checked.output)")
  }

  /// A killed process loses what it kept to itself, not what it gave to the host: this finds answers that come before
  /// their write, and not a missing `fdatasync`. A process that keeps but a few writes loses none that others follow: so
  /// it is also killed when nothing has followed the last one.
  @Test(
    "finds every flushed write on the disk of a domain whose process was killed, while it wrote and at rest",
    .timeLimit(.minutes(5)),
    .enabled(if: Requirement.blockFrontEnd != nil, "the kernel's module xen-blkfront is not here"),
    // Without the package qemu-utils, on raw disks alone.
    arguments: [(true, false), (false, false)] + (Requirement.hasImageTools ? [(false, true)] : []))
  func killed(underLoad: Bool, isConverted: Bool) throws {
    let scratch = Scratch()
    let image = scratch.write("disk.img", [UInt8](repeating: 0, count: 8 << 20))
    let converted = "\(scratch.path)/disk.qcow2"
    func convert(_ arguments: String...) -> Bool {
      Program.run("/usr/bin/qemu-img", ["convert"] + arguments).end == .exited(0)
    }
    if isConverted { #expect(convert("-f", "raw", "-O", "qcow2", image, converted)) }
    // Records of 4 KiB in the first half, each flushed; load in the second.
    let load =
      "while :; do dd if=/dev/urandom of=/dev/xvda bs=64k seek=64 count=64 conv=notrunc 2>/dev/null; done"
    let ramdisk = makeRAMDisk(
      scratch,
      [
        "mkdir -p /dev", "mount -t devtmpfs dev /dev", "insmod /module.ko",
        "until [ -b /dev/xvda ]; do sleep 0.1; done", underLoad ? "(\(load)) &" : "", "n=0",
        "while [ $n -lt \(underLoad ? 1024 : 50) ]; do",
        "echo record $n | dd of=/dev/xvda bs=4096 seek=$n conv=notrunc,sync,fsync 2>/dev/null && echo flushed $n.",
        "n=$((n + 1))", "done", "sleep 600",
      ], module: Requirement.blockFrontEnd)
    let given = isConverted ? "\(converted),qcow2" : "\(image),raw"
    let file = try configure(scratch, ramdisk, "disk = ['\(given),xvda,rw']")
    let child = start(scratch, Program.lockstep, ["run", file], "guest")
    func flushed() -> [Int] {
      scratch.read("guest").matches(of: /flushed ([0-9]+)\./).compactMap { Int($0.output.1) }
    }
    for _ in 0..<1000 where flushed().count < 50 { usleep(100_000) }
    child.send(SIGKILL)
    #expect(child.wait(seconds: 60) == .killed(SIGKILL))
    let records = flushed()
    #expect(
      records.count >= 50 && records == Array(0..<records.count), "\(scratch.read("guest").suffix(2000))")
    if isConverted {
      // As soon as the server, whose client is gone, has let go of the image.
      #expect(
        (0..<100).contains { _ in
          convert("-f", "qcow2", "-O", "raw", converted, image) || usleep(100_000) != 0
        })
    }
    let disk = Program.bytes(image)
    try #require(disk.count == 8 << 20)
    let lost = records.filter { !disk[($0 * 4096)...].starts(with: Array("record \($0)\n\0".utf8)) }
    #expect(lost == [])
    #expect(disk[(4 << 20)...].contains { $0 != 0 } == underLoad, "the load wrote nothing")
  }

  @Test(
    "fetches 4 MiB over its network, and is fetched from, beside the specifications", .timeLimit(.minutes(5)),
    .enabled(if: Requirement.networkFrontEnd != nil, "the kernel's module xen-netfront is not here"))
  func network() async throws {
    let scratch = Scratch()
    let (port, forwarded) = (try #require(Requirement.freePort), try #require(Requirement.freePort))
    let files = "\(scratch.path)/files"
    #expect(mkdir(files, 0o700) == 0)
    let big = (0..<1 << 22).map { _ in UInt8.random(in: .min ... .max) }
    scratch.write("files/big", big)
    #expect(Program.run("/bin/sh", ["-c", "cd \(files) && md5sum big >big.md5"]).end == .exited(0))
    let server = start(
      scratch, "/bin/sh", ["-c", "exec busybox httpd -f -p 127.0.0.1:\(port) -h \(files)"], "server")
    let ramdisk = makeRAMDisk(
      scratch,
      [
        "mkdir -p /dev /proc /files", "mount -t devtmpfs dev /dev", "mount -t proc proc /proc",
        "insmod /module.ko", "until ip link set eth0 up; do sleep 0.1; done",
        "echo '#!/bin/busybox sh' >/lease",
        "echo '[ $1 != bound ] || /bin/busybox ip addr add $ip/24 dev $interface' >>/lease",
        "chmod +x /lease", "udhcpc -q -n -i eth0 -s /lease", "ip addr show dev eth0", "cd /files",
        "for file in big big.md5; do wget -q -O $file http://10.0.2.2:\(port)/$file; done",
        "httpd -p 80 -h /files", "md5sum -c big.md5",
        "until wget -q -O /done http://10.0.2.2:\(port)/done; do sleep 0.3; done",
      ], module: Requirement.networkFrontEnd)
    let file = try configure(
      scratch, ramdisk, "vif = ['mac=00:16:3e:12:34:56, hostfwd=tcp:127.0.0.1:\(forwarded)-:80']")
    let guest = start(scratch, Program.lockstep, ["run", "--check", file], "guest")
    for _ in 0..<1000 where !scratch.read("guest").contains("big: ") {
      try await Task.sleep(for: .milliseconds(100))
    }
    let (status, body) = try await request("http://127.0.0.1:\(forwarded)/big")
    #expect(status == 200 && Array(body) == big)
    scratch.write("files/done", "")
    #expect(guest.wait(seconds: 100) == .exited(0))
    withExtendedLifetime(server) {}
    let (output, errors) = (scratch.read("guest"), scratch.read("guest-error"))
    #expect(output.contains("10.0.2.15/24") && output.contains("00:16:3e:12:34:56"))
    #expect(output.contains("big: OK"), "\(output.suffix(2000)) \(errors.suffix(2000))")
    #expect(errors.contains("lockstep: checked: Ring: "))
  }

  @Test(
    "fetches 4 MiB over a tap interface beside the specifications", .timeLimit(.minutes(5)),
    .enabled(if: Requirement.networkFrontEnd != nil, "the kernel's module xen-netfront is not here"),
    .enabled(if: Requirement.canMakeTap, "no tap interface can be made in a network namespace"))
  func tap() throws {
    let scratch = Scratch()
    let ramdisk = makeRAMDisk(
      scratch,
      [
        "mkdir -p /dev /proc /files", "mount -t devtmpfs dev /dev", "mount -t proc proc /proc",
        "insmod /module.ko", "until ip link set eth0 up; do sleep 0.1; done",
        "ip addr add 10.9.8.2/24 dev eth0", "cd /files",
        "for file in big big.md5; do wget -q -O $file http://10.9.8.1/$file; done", "md5sum -c big.md5",
      ], module: Requirement.networkFrontEnd)
    let file = try configure(scratch, ramdisk, "vif = ['vifname=tap7']")
    let lines = [
      "busybox ip link set lo up", "busybox tunctl -t tap7", "busybox ip addr add 10.9.8.1/24 dev tap7",
      "busybox ip link set tap7 up", "mkdir \(scratch.path)/files",
      "(cd \(scratch.path)/files; head -c 4194304 /dev/urandom >big; md5sum big >big.md5)",
      "busybox httpd -f -p 10.9.8.1:80 -h \(scratch.path)/files & server=$!",
      "\(Program.lockstep) run --check \(file) </dev/null || status=$?", "kill $server", "exit ${status:-0}",
    ]
    let script = scratch.write("run", lines.joined(separator: "\n"))
    let result = Program.run("/usr/bin/env", ["unshare", "-n", "/bin/sh", "-e", script], seconds: 200)
    #expect(result.end == .exited(0), "\(result.output.suffix(2000)) \(result.error.suffix(2000))")
    #expect(result.output.contains("big: OK"), "\(result.output.suffix(2000))")
  }
}
