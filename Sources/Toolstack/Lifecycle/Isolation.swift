// SPDX-License-Identifier: Apache-2.0

import CSeccomp
import Glibc

/// What is around the process once a guest runs, beside the filter of its system calls (`Sandbox`): namespaces of its own,
/// in which it has no capabilities, no network and no neighbours; and Landlock, by which it opens and makes no files.
///
/// Each is a thread's, and passes to the threads that it starts: so they are entered before there is a second thread, when
/// files, disks, networks, `/dev/kvm` and the control socket are open.
public struct Isolation: Sendable {
  /// User-mode networking is the host's, and reads the host's name servers.
  public var hasUserNetwork: Bool
  /// The folder of the domain's control socket, which goes with the domain; nil if there is none.
  public var socketFolder: String?

  public init(hasUserNetwork: Bool, socketFolder: String?) {
    (self.hasUserNetwork, self.socketFolder) = (hasUserNetwork, socketFolder)
  }

  /// Where libslirp finds the host's name servers.
  private static let resolver = "/etc/resolv.conf"

  /// Confines the thread that calls.
  /// - Returns: what the system does not let it have, a line each.
  public func enter() -> [String] {
    var missing: [String] = []
    if let code = enterNamespaces() {
      missing.append("no namespaces around this process: \(String(cString: strerror(code)))")
    }
    // Without namespaces too.
    if isolation_drop_capabilities() != 0 {
      missing.append("this process keeps its capabilities: \(String(cString: strerror(errno)))")
    }
    if let code = enterLandlock() {
      missing.append("no Landlock around this process: \(String(cString: strerror(code)))")
    }
    return missing
  }

  // MARK: Namespaces

  /// - Returns: the error's number; nil for none.
  private func enterNamespaces() -> Int32? {
    let (user, group) = (geteuid(), getegid())
    var flags = isolation_new_mount | isolation_new_ipc | isolation_new_uts | isolation_new_cgroup
    if !hasUserNetwork { flags |= isolation_new_network }
    guard isolation_unshare(Int32(flags | isolation_new_user)) == 0 else {
      let code = errno
      // Root can do without a namespace of users; with a second thread already there, the others would be one thread's.
      return code != EINVAL && isolation_unshare(Int32(flags)) == 0 ? nil : code
    }
    // This user is itself there, so that who connects to the control socket is known; nobody else is anybody.
    for (file, text) in [
      ("setgroups", "deny"), ("uid_map", "\(user) \(user) 1"), ("gid_map", "\(group) \(group) 1"),
    ] {
      guard Self.write(text, to: "/proc/self/\(file)") else { return errno }
    }
    return nil
  }

  private static func write(_ text: String, to path: String) -> Bool {
    let descriptor = open(path, O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count
  }

  // MARK: Landlock

  // What Landlock guards of files. Source: Linux, include/uapi/linux/landlock.h.
  private static let readFile: UInt64 = 1 << 2
  private static let removeFile: UInt64 = 1 << 5

  /// All that a version knows.
  private static func everything(_ version: Int32) -> isolation_landlock {
    let bits: UInt64 =
      switch version {
      case ...1: 13
      case 2: 14
      case 3, 4: 15
      default: 16
      }
    return isolation_landlock(
      files: 1 << bits - 1,
      // TCP's bind and connect.
      network: version >= 4 ? 0b11 : 0,
      // Connections to sockets without a file.
      scopes: version >= 6 ? 0b1 : 0)
  }

  /// - Returns: the error's number; nil for none.
  private func enterLandlock() -> Int32? {
    let version = isolation_landlock_version()
    guard version > 0 else { return version == 0 ? ENOSYS : errno }
    var handled = Self.everything(version)
    if hasUserNetwork { handled.network = 0 }
    let size = version >= 6 ? 24 : version >= 4 ? 16 : 8
    let rules = isolation_landlock_begin(&handled, size)
    guard rules >= 0 else { return errno }
    defer { close(rules) }
    if hasUserNetwork { Self.allow(Self.readFile, of: Self.resolver, rules) }
    if let socketFolder { Self.allow(Self.removeFile, of: socketFolder, rules) }
    guard isolation_no_new_privileges() == 0, isolation_landlock_enter(rules) == 0 else { return errno }
    return nil
  }

  /// What is not there is not allowed either.
  private static func allow(_ files: UInt64, of path: String, _ rules: Int32) {
    let place = open(path, O_RDONLY | O_CLOEXEC)
    guard place >= 0 else { return }
    defer { close(place) }
    _ = isolation_landlock_allow(rules, files, place)
  }
}
