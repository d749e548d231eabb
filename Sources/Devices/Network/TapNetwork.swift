// SPDX-License-Identifier: Apache-2.0

import Glibc
import Xenstore

/// The guest's end of a wire whose other end is a network interface of the host's (`tap`). What becomes of the frames
/// there, be it a bridge, routes or filters, is the host's affair.
///
/// Source: linux/Documentation/networking/tuntap.rst.
public final class TapNetwork: GuestNetwork {
  public let takesLargeSegments = false
  private let descriptor: Int32
  /// A frame for the guest.
  private let frame = UnsafeMutableRawBufferPointer.allocate(
    byteCount: NetworkRing.maximumFrame, alignment: 8)

  /// Frames that are received before the guest's have their turn.
  private static let batch = 64
  private static let device = "/dev/net/tun"
  /// Bytes of an interface's name, the 0 at its end included (`IFNAMSIZ`).
  private static let nameSize = 16
  /// Bytes of `struct ifreq`: the name, and a union that begins with the flags.
  private static let requestSize = 40
  /// `TUNSETIFF`; `IFF_TAP`: whole frames; `IFF_NO_PI`: and nothing before them.
  private static let setInterface: UInt = 0x4004_54ca
  private static let flags: UInt16 = 0x0002 | 0x1000
  /// `TUNSETOFFLOAD`.
  private static let setOffloads: UInt = 0x4004_54d0

  /// Takes the wire's end of an interface that is there, or makes one: that takes root's rights.
  public init(interface name: String) throws(NetworkError) {
    guard (1..<Self.nameSize).contains(name.utf8.count), !name.utf8.contains(UInt8(ascii: "%")) else {
      throw NetworkError(description: "'\(name)' is no name of an interface: it has 1 to 15 bytes")
    }
    descriptor = open(Self.device, O_RDWR | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw NetworkError(
        description: "\(Self.device) cannot be opened: \(String(cString: strerror(errno)))")
    }
    let request = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.requestSize, alignment: 8)
    defer { request.deallocate() }
    request.initializeMemory(as: UInt8.self, repeating: 0)
    request.copyBytes(from: name.utf8)
    request.storeBytes(of: Self.flags, toByteOffset: Self.nameSize, as: UInt16.self)
    guard let address = request.baseAddress, ioctl(descriptor, Self.setInterface, address) == 0 else {
      let code = errno
      close(descriptor)
      throw NetworkError(description: "\(name): \(Self.reason(code, name))")
    }
    // What its last user took, such as QEMU, stays with an interface: no page holds a segment of 64 KiB, and its checksum
    // would be missing.
    _ = ioctl(descriptor, Self.setOffloads, 0 as CInt)
  }

  deinit {
    close(descriptor)
    frame.deallocate()
  }

  private static func reason(_ code: Int32, _ name: String) -> String {
    switch code {
    case EPERM: "no permission; as root, once: ip tuntap add dev \(name) mode tap user NAME"
    case EBUSY: "it is in use by another run; end that one, or name another interface"
    case EINVAL: "it is no tap interface; name another"
    default: "it cannot be used: \(String(cString: strerror(code)))"
    }
  }

  public func send(_ frame: UnsafeRawBufferPointer) {
    // A host that is not up, or takes no more for now, loses it.
    _ = write(descriptor, frame.baseAddress, frame.count)
  }

  public func wait(
    for wakeUp: WakeUp, atMost limit: UInt32?, receive: @escaping (UnsafeRawBufferPointer) -> Void
  ) {
    var waiting = [wakeUp.descriptor, descriptor].map {
      pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
    }
    guard poll(&waiting, 2, limit.map { Int32(clamping: $0) } ?? -1) > 0 else { return }
    if waiting[0].revents != 0 { wakeUp.clear() }
    guard waiting[1].revents & Int16(POLLIN) != 0 else { return }
    for _ in 0..<Self.batch {
      let count = read(descriptor, frame.baseAddress, frame.count)
      guard count > 0 else { return }
      receive(UnsafeRawBufferPointer(rebasing: frame[..<count]))
    }
  }
}
