// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A program under test.
final class ChildProcess {
  /// Where one of a child's standard descriptors comes from.
  enum Stream {
    case file(path: String, flags: Int32)
    case descriptor(Int32)
  }

  /// How a child ended.
  enum End: Equatable {
    case exited(Int32)
    case killed(Int32)
  }

  let process: pid_t
  private var end: End?

  /// Starts a program in a session of its own, so that a terminal that it opens becomes its own.
  init(_ path: String, _ arguments: [String], input: Stream, output: Stream, error: Stream) {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    for (number, stream) in [input, output, error].enumerated() {
      switch stream {
      case .file(let path, let flags):
        posix_spawn_file_actions_addopen(&actions, Int32(number), path, flags, 0o600)
      case .descriptor(let descriptor):
        posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
      }
    }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    // Threads that run tests block signals; a program starts with none blocked.
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    let newSession: Int16 = 0x80
    posix_spawnattr_setflags(&attributes, newSession | Int16(POSIX_SPAWN_SETSIGMASK))
    var vector = ([path] + arguments).map { strdup($0) }
    vector.append(nil)
    // A crash is to end the program, not to begin a conversation at its terminal.
    setenv("SWIFT_BACKTRACE", "enable=no", 1)
    var process = pid_t()
    let result = posix_spawn(&process, path, &actions, &attributes, vector, environ)
    precondition(result == 0, "\(path) does not start: \(result)")
    for argument in vector { free(argument) }
    posix_spawn_file_actions_destroy(&actions)
    posix_spawnattr_destroy(&attributes)
    self.process = process
  }

  deinit {
    guard end == nil else { return }
    kill(process, SIGKILL)
    waitpid(process, nil, 0)
  }

  func send(_ signal: Int32) { kill(process, signal) }

  /// The processor time that it has used, in seconds.
  var processorTime: Double {
    // The 14th and 15th field, counted from behind the name, which may hold blanks.
    let fields =
      Program.contents("/proc/\(process)/stat").split(separator: ")").last?.split(separator: " ") ?? []
    guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else {
      return .nan
    }
    return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
  }

  /// Waits for the end; nil if it does not come in time.
  func wait(seconds: Int) -> End? {
    for _ in 0..<(seconds * 100) {
      var status: Int32 = 0
      if waitpid(process, &status, WNOHANG) == process {
        let signal = status & 0x7f
        end = signal == 0 ? .exited(status >> 8 & 0xff) : .killed(signal)
        return end
      }
      usleep(10_000)
    }
    return nil
  }
}

/// Files of one test, gone with it.
final class Scratch {
  let path: String

  init() {
    var template = Array("/tmp/lockstep-cli-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { _ = Program.run("/bin/rm", ["-rf", path]) }

  /// Writes a file; returns its path.
  @discardableResult
  func write(_ name: String, _ text: String) -> String { write(name, Array(text.utf8)) }

  @discardableResult
  func write(_ name: String, _ bytes: [UInt8]) -> String {
    let file = "\(path)/\(name)"
    let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    precondition(descriptor >= 0)
    precondition(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
    close(descriptor)
    return file
  }

  func read(_ name: String) -> String { Program.contents("\(path)/\(name)") }
}

/// Programs, run to their end.
enum Program {
  struct Result {
    var end: ChildProcess.End?
    var output: String
    var error: String
  }

  /// The `lockstep` beside this test.
  static let lockstep: String = {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    precondition(count > 0)
    let own = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let directory = own.split(separator: "/").dropLast().joined(separator: "/")
    return "/\(directory)/lockstep"
  }()

  static func run(_ path: String, _ arguments: [String], input: String = "/dev/null", seconds: Int = 60)
    -> Result
  {
    var names = (Array("/tmp/lockstep-out-XXXXXX".utf8CString), Array("/tmp/lockstep-err-XXXXXX".utf8CString))
    let output = mkstemp(&names.0)
    let error = mkstemp(&names.1)
    precondition(output >= 0 && error >= 0)
    let child = ChildProcess(
      path, arguments, input: .file(path: input, flags: O_RDONLY), output: .descriptor(output),
      error: .descriptor(error))
    let end = child.wait(seconds: seconds)
    let paths = [names.0, names.1].map {
      String(decoding: $0.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    defer {
      for path in paths { unlink(path) }
      close(output)
      close(error)
    }
    return Result(end: end, output: contents(paths[0]), error: contents(paths[1]))
  }

  static func contents(_ path: String) -> String { String(decoding: bytes(path), as: UTF8.self) }

  /// A file's content; nothing if it cannot be read.
  static func bytes(_ path: String) -> [UInt8] {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = read(descriptor, &buffer, buffer.count)
      guard count > 0 else { break }
      bytes += buffer[..<count]
    }
    return bytes
  }
}

/// What tests need of the machine that they run on.
enum Requirement {
  static let grub = "/usr/lib/grub-xen/grub-x86_64-xen.bin"

  static var hasKVM: Bool {
    let descriptor = open("/dev/kvm", O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    close(descriptor)
    return true
  }

  /// Whether KVM is there without the processor's own virtualization behind it.
  static var hasSoftwareKVM: Bool {
    hasKVM && Program.run("/bin/grep", ["-q", "-w", "-E", "vmx|svm", "/proc/cpuinfo"]).end == .exited(1)
  }

  /// Whether a file system can be mounted that only one process sees.
  static var canHideKVM: Bool {
    Program.run("/usr/bin/env", ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/dev"]).end == .exited(0)
  }

  /// Whether this is root, who can try it as somebody without a right to /dev/kvm who can read this program.
  static var othersLackKVM: Bool {
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    return hasKVM && Program.run("/usr/bin/env", nobody + ["test", "-w", "/dev/kvm"]).end == .exited(1)
      && Program.run("/usr/bin/env", nobody + ["test", "-x", Program.lockstep]).end == .exited(0)
  }

  /// A Linux kernel that can run as a PV guest: named by LOCKSTEP_LINUX, installed, or left by .ci/hardware-kvm.
  static let linux: String? = {
    let listed = Program.run(
      "/bin/sh",
      ["-c", "ls -d /boot/vmlinuz-*cloud-amd64 .build/hardware-kvm/kernel/boot/vmlinuz-* 2>/dev/null"])
    let found = listed.output.split(separator: "\n").first.map(String.init)
    return getenv("LOCKSTEP_LINUX").map { String(cString: $0) } ?? found
  }()

  /// The folder that .ci/hardware-kvm has unpacked Debian's kernel in.
  static let kernelFolder: String? = {
    let folder = ".build/hardware-kvm/kernel"
    return access("\(folder)/boot", R_OK) == 0 ? folder : nil
  }()

  /// That kernel's block and network front ends, modules: their paths are absolute.
  static let blockFrontEnd = driver("block/xen-blkfront")
  static let networkFrontEnd = driver("net/xen-netfront")

  private static func driver(_ name: String) -> String? {
    let script =
      "cd \"$(dirname \"$0\")/..\" && ls -d \"$PWD\"/lib/modules/*/kernel/drivers/\(name).ko"
    let found = Program.run("/bin/sh", ["-c", script, linux ?? "/boot/vmlinuz"])
    return found.output.split(separator: "\n").first.map(String.init)
  }

  /// Whether this is root, of a kernel with tap interfaces.
  static var canMakeTap: Bool {
    Program.run("/usr/bin/env", ["unshare", "-n", "busybox", "tunctl", "-t", "tap7"]).end == .exited(0)
  }

  /// A port of 127.0.0.1 that nobody listens at.
  static var freePort: UInt16? {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isFound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
      }
    }
    return isFound ? UInt16(bigEndian: address.sin_port) : nil
  }

  /// A static busybox and a cpio: what a RAM disk is made of.
  static var canMakeRAMDisk: Bool {
    Program.run("/bin/sh", ["-c", "busybox && cpio --version"]).end == .exited(0)
  }

  /// Whether QEMU's programs for disk images are here.
  static let hasImageTools = ["qemu-img", "qemu-nbd"].allSatisfy { access("/usr/bin/\($0)", X_OK) == 0 }

  static var hasGRUB: Bool { access(grub, R_OK) == 0 }
  static let mke2fs: String? = ["/usr/sbin/mke2fs", "/sbin/mke2fs"].first { (path: String) in
    access(path, X_OK) == 0
  }
}
