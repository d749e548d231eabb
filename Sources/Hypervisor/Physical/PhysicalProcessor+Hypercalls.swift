// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Parameters of a guest by number. Source: xen/include/public/hvm/params.h.
enum HardwareMachineParameter {
  static let callback: UInt32 = 0
  static let storeFrame: UInt32 = 1
  static let storePort: UInt32 = 2
  static let consoleFrame: UInt32 = 17
  static let consolePort: UInt32 = 18
}

/// Hypercalls that only PVH guests have.
extension PhysicalProcessor {
  private enum HardwareMachineOperation: UInt64 {
    case setParameter = 0
    case getParameter = 1
    case setUpcallVector = 23
  }

  /// `hvm_op`. Source: xen/include/public/hvm/hvm_op.h.
  func hardwareMachineOperation(_ command: UInt64, _ address: UInt64) throws(HypercallError) -> Int64 {
    guard let operation = HardwareMachineOperation(rawValue: command) else { throw .notImplemented }
    switch operation {
    case .setParameter, .getParameter:
      // `struct xen_hvm_param`: domid (16 bits), index (32), value (64).
      var block = try argument(address, byteCount: 16)
      try requireSelf(DomainID(block.u16(0)))
      if operation == .setParameter {
        try setParameter(block.u32(4), block.u64(8))
      } else {
        guard let value = space.parameters[block.u32(4)] else { throw .invalid }
        block.set(8, u64: value)
        try reply(block, byteCount: 16, to: address)
      }
    case .setUpcallVector:
      // `struct xen_hvm_evtchn_upcall_vector`: vcpu (32 bits), vector (8).
      let block = try argument(address, byteCount: 8)
      guard block.u8(4) >= 16, let target = try peer(UInt64(block.u32(0))) as? PhysicalProcessor else {
        throw .invalid
      }
      target.setUpcallVector(block.u8(4))
    }
    return 0
  }

  /// The way in which up-calls come: only the interrupt of each vCPU's local APIC is there. A kernel that has chosen it sets
  /// another way too, of no meaning then, which is accepted.
  private func setParameter(_ number: UInt32, _ value: UInt64) throws(HypercallError) {
    let isVector = value >> 56 == 2
    guard number == HardwareMachineParameter.callback, !isVector else { throw .invalid }
    space.parameters[number] = value
  }

  private enum PhysicalMapOperation: UInt64 {
    case add = 7
    case remove = 15
  }

  /// What PVH guests have of `memory_op`. Source: xen/include/public/memory.h.
  func physicalMapOperation(_ command: UInt64, _ address: UInt64) throws(HypercallError) -> Int64 {
    guard let operation = PhysicalMapOperation(rawValue: command) else { throw .notImplemented }
    switch operation {
    case .add:
      // `struct xen_add_to_physmap`: domid, size (16 bits each), space (32), idx, gpfn (64 each).
      let block = try argument(address, byteCount: 24)
      try requireSelf(DomainID(block.u16(0)))
      let frame = try frame(of: block.u32(4), at: block.u64(8))
      let place = GuestFrame(block.u64(16))
      if space.isMemory(place) {
        try space.giveBack(place.rawValue)
        domain.currentFrames.wrappingSubtract(1, ordering: .relaxed)
      }
      try space.place(frame, at: place)
    case .remove:
      // `struct xen_remove_from_physmap`: domid (16 bits), gpfn (64).
      let block = try argument(address, byteCount: 16)
      try requireSelf(DomainID(block.u16(0)))
      try space.remove(GuestFrame(block.u64(8)))
    }
    return 0
  }

  /// A frame that the guest may have beside its memory, by the space that it lies in and its number there.
  private func frame(of kind: UInt32, at index: UInt64) throws(HypercallError) -> MachineFrame {
    let (sharedInfo, grantTable): (UInt32, UInt32) = (0, 1)
    switch kind {
    case sharedInfo:
      guard index == 0 else { throw .invalid }
      return domain.sharedInfo
    case grantTable:
      guard index < UInt64(domain.maximumGrantFrames) else { throw .invalid }
      guard domain.growGrantTable(to: Int(index) + 1) else { throw .noMemory }
      return domain.grantFrames[Int(index)]
    default: throw .invalid
    }
  }
}
