// SPDX-License-Identifier: Apache-2.0
//
// What lies in the slots of a network interface's two rings. Directions are the guest's: it transmits and receives.
// Source: xen/include/public/io/netif.h.

import Interfaces

/// The layout of the rings, and their limits.
enum NetworkRing {
  /// Slots in a ring of one page: of the transmit ring (12 bytes each) and of the receive ring (8) alike.
  static let slotCount = 256
  static let transmitSlotSize = 12
  static let receiveSlotSize = 8
  /// What a frame may be scattered over, extra slots not counted (`XEN_NETIF_NR_SLOTS_MIN`).
  static let maximumParts = 18
  /// Bytes of the largest frame that a size field can tell.
  static let maximumFrame = 0xffff
  /// Bytes of an Ethernet header: the smallest frame.
  static let minimumFrame = 14
}

/// How a request ended (`XEN_NETIF_RSP_*`).
enum NetworkStatus: Int16, Sendable {
  case okay = 0
  case error = -1
  case dropped = -2
  /// The answer to a slot with extra information.
  case null = 1
}

/// A part of a frame that a guest transmits, copied out of its slot.
struct TransmitRequest: Sendable, Hashable {
  /// `XEN_NETTXF_*`.
  struct Flags: OptionSet, Sendable, Hashable {
    let rawValue: UInt16
    /// The checksum of the protocol in the packet is still to be computed.
    static let checksumBlank = Flags(rawValue: 1 << 0)
    /// The next slot is of the same frame.
    static let moreData = Flags(rawValue: 1 << 2)
    /// Slots with extra information follow.
    static let extraInfo = Flags(rawValue: 1 << 3)
  }

  var reference: GrantReference
  /// Where the part begins in the granted page.
  var offset: Int
  var flags: Flags
  var identifier: UInt16
  /// Bytes: of the whole frame in its first slot, of the part in the others.
  var size: Int

  init(_ slot: UnsafeRawBufferPointer) {
    reference = GrantReference(slot.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
    offset = Int(slot.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
    flags = Flags(rawValue: slot.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
    identifier = slot.loadUnaligned(fromByteOffset: 8, as: UInt16.self)
    size = Int(slot.loadUnaligned(fromByteOffset: 10, as: UInt16.self))
  }
}

/// Extra information on a frame, copied out of its slot.
struct NetworkExtra: Sendable, Hashable {
  /// Whether another one follows.
  var hasNext: Bool
  /// Whether it says that the frame is a TCP segment of IPv4 to be cut into smaller ones: the only extra information
  /// that the back end has offered to understand.
  var isSegmentation: Bool

  init(_ slot: UnsafeRawBufferPointer) {
    hasNext = slot[1] & 1 != 0
    let size = slot.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
    // XEN_NETIF_EXTRA_TYPE_GSO, XEN_NETIF_GSO_TYPE_TCPV4
    isSegmentation = slot[0] == 1 && slot[4] == 1 && size > 0
  }
}

/// An answer to a transmit request, as it lies in a slot.
struct TransmitResponse: Sendable, Hashable {
  var identifier: UInt16
  var status: NetworkStatus

  /// Fills a slot; what the response does not use is zero, so that nothing leaks.
  func store(in slot: UnsafeMutableRawBufferPointer) {
    slot.initializeMemory(as: UInt8.self, repeating: 0)
    slot.storeBytes(of: identifier, toByteOffset: 0, as: UInt16.self)
    slot.storeBytes(of: status.rawValue, toByteOffset: 2, as: Int16.self)
  }
}

/// A page that a guest offers for a frame to be received, copied out of its slot.
struct ReceiveRequest: Sendable, Hashable {
  var identifier: UInt16
  var reference: GrantReference

  init(_ slot: UnsafeRawBufferPointer) {
    identifier = slot.loadUnaligned(fromByteOffset: 0, as: UInt16.self)
    reference = GrantReference(slot.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
  }
}

/// A frame received, at the beginning of its page; as it lies in a slot.
struct ReceiveResponse: Sendable, Hashable {
  var identifier: UInt16
  /// Bytes, or why there are none.
  var outcome: Result<Int, Failure>

  struct Failure: Error, Sendable, Hashable {
    var status: NetworkStatus
  }

  /// `XEN_NETRXF_data_validated`: the checksums are right.
  private static let dataValidated: UInt16 = 1 << 0

  func store(in slot: UnsafeMutableRawBufferPointer) {
    slot.initializeMemory(as: UInt8.self, repeating: 0)
    slot.storeBytes(of: identifier, toByteOffset: 0, as: UInt16.self)
    switch outcome {
    case .success(let size):
      slot.storeBytes(of: Self.dataValidated, toByteOffset: 4, as: UInt16.self)
      slot.storeBytes(of: Int16(size), toByteOffset: 6, as: Int16.self)
    case .failure(let failure):
      slot.storeBytes(of: failure.status.rawValue, toByteOffset: 6, as: Int16.self)
    }
  }
}
