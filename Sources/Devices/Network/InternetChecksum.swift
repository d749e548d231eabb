// SPDX-License-Identifier: Apache-2.0

/// The checksum of TCP and UDP (RFC 1071), which a guest may leave to its network interface.
enum InternetChecksum {
  /// Computes the checksum of the TCP segment or UDP datagram in an Ethernet frame, and writes it there. All that the
  /// frame says of itself may be wrong.
  /// - Returns: false, and nothing is written, if there is no whole one of IPv4.
  static func complete(in frame: UnsafeMutableRawBufferPointer) -> Bool {
    guard let packet = IPv4Packet(UnsafeRawBufferPointer(frame)), !packet.isFragment else { return false }
    let field: Int
    switch packet.protocolNumber {
    case IPv4Packet.tcp where packet.payload.count >= 20: field = packet.payload.lowerBound + 16
    case IPv4Packet.udp where packet.payload.count >= 8: field = packet.payload.lowerBound + 6
    default: return false
    }
    frame.storeBytes(of: 0, toByteOffset: field, as: UInt16.self)
    // The pseudo-header: both addresses, the protocol, the length.
    var total = sum(UnsafeRawBufferPointer(rebasing: frame[packet.addresses]))
    total += UInt64(UInt16(packet.protocolNumber).bigEndian)
    total += UInt64(UInt16(truncatingIfNeeded: packet.payload.count).bigEndian)
    total += sum(UnsafeRawBufferPointer(rebasing: frame[packet.payload]))
    var checksum = ~fold(total)
    // Of UDP, 0 says that there is none.
    if checksum == 0 && packet.protocolNumber == IPv4Packet.udp { checksum = 0xffff }
    frame.storeBytes(of: checksum, toByteOffset: field, as: UInt16.self)
    return true
  }

  /// The sum of all 16-bit words in the order of their bytes in memory, a last odd byte being followed by 0. Such a sum
  /// can be taken of larger words, and in either byte order.
  static func sum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var total: UInt64 = 0
    let whole = bytes.count & ~3
    for offset in stride(from: 0, to: whole, by: 4) {
      total += UInt64(bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
    for offset in whole..<bytes.count {
      total += UInt64(bytes[offset]) << (offset & 1 == 0 ? 0 : 8)
    }
    return total
  }

  /// Adds the carries up, until 16 bits are left.
  static func fold(_ total: UInt64) -> UInt16 {
    var total = total
    while total > 0xffff { total = total & 0xffff + total >> 16 }
    return UInt16(total)
  }
}

/// Where the parts of an IPv4 packet lie in an Ethernet frame. Offsets are the frame's.
struct IPv4Packet: Sendable, Hashable {
  static let tcp: UInt8 = 6
  static let udp: UInt8 = 17

  var protocolNumber: UInt8
  /// Whether it is not a whole datagram.
  var isFragment: Bool
  /// Source and destination.
  var addresses: Range<Int>
  /// What follows the header.
  var payload: Range<Int>

  /// - Returns: nil for a frame without a whole packet of IPv4.
  init?(_ frame: UnsafeRawBufferPointer) {
    let start = 14
    func word(_ offset: Int) -> Int { Int(frame[offset]) << 8 | Int(frame[offset + 1]) }
    guard frame.count >= start + 20, word(12) == 0x0800, frame[start] >> 4 == 4 else { return nil }
    let headerSize = Int(frame[start] & 0xf) * 4
    let size = word(start + 2)
    guard headerSize >= 20, size >= headerSize, start + size <= frame.count else { return nil }
    protocolNumber = frame[start + 9]
    // The flag of more fragments, and the offset.
    isFragment = word(start + 6) & 0x3fff != 0
    addresses = start + 12..<start + 20
    payload = start + headerSize..<start + size
  }
}
