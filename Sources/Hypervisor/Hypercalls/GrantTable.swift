// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Operations of `grant_table_op` by number. Source: xen/include/public/grant_table.h, version 1.
enum GrantOperation: UInt64 {
  case map = 0
  case unmap = 1
  case setupTable = 2
  case transfer = 4
  case copy = 5
  case querySize = 6
  case setVersion = 8
  case getVersion = 10
  case swap = 11

  /// The bytes of its structure, and where the status stands in it.
  var layout: (size: Int, status: Int) {
    switch self {
    case .map: (32, 18)
    case .unmap: (24, 20)
    case .setupTable: (24, 8)
    case .transfer: (24, 16)
    case .copy: (40, 36)
    case .querySize: (16, 12)
    case .setVersion: (4, 0)
    case .getVersion: (8, 0)
    case .swap: (12, 8)
    }
  }
}

/// `grant_table_op`: arguments are copied in once, then `GrantTables` decides.
extension Processor {
  func grantTableOperation(_ arguments: HypercallArguments) throws(HypercallError) -> Int64 {
    guard let operation = GrantOperation(rawValue: arguments.first) else { throw .notImplemented }
    let count = arguments.third & 0xffff_ffff
    if operation == .setVersion || operation == .getVersion {
      return try grantVersion(operation, arguments.second, count)
    }
    let (size, statusOffset) = operation.layout
    try forEach(count) { index throws(HypercallError) in
      let address = arguments.second &+ index &* UInt64(size)
      var block = try argument(address, byteCount: size)
      let status: GrantStatus
      switch operation {
      case .querySize: status = queryGrantTable(&block)
      case .swap: status = swapGrants(block)
      default: status = try specialGrantOperation(operation, &block)
      }
      block.set(statusOffset, u16: UInt16(bitPattern: status.rawValue))
      try reply(block, byteCount: size, to: address)
    }
    return 0
  }

  /// Only version 1 exists.
  private func grantVersion(_ operation: GrantOperation, _ address: UInt64, _ count: UInt64)
    throws(HypercallError)
    -> Int64
  {
    guard count == 1 else { throw .invalid }
    if operation == .setVersion {
      let wanted = try argument(address, byteCount: 4).u32(0)
      try write(UInt32(1), to: address)
      guard wanted == 1 else { throw .invalid }
    } else {
      try requireSelf(DomainID(try argument(address, byteCount: 8).u16(0)))
      try write(UInt32(1), to: address &+ 4)
    }
    return 0
  }

  func resolve(_ domain: UInt16) -> DomainID {
    DomainID(domain) == .current ? self.domain.id : DomainID(domain)
  }

  /// `struct gnttab_query_size`: dom, nr_frames, max_nr_frames, status.
  private func queryGrantTable(_ block: inout ArgumentBlock) -> GrantStatus {
    guard resolve(block.u16(0)) == domain.id else { return .permissionDenied }
    let answer = domain.host.withGrants { $0.size(of: domain.id) }
    block.set(4, u32: UInt32(clamping: answer.frames))
    block.set(8, u32: UInt32(clamping: answer.maximumFrames))
    return answer.status
  }

  /// `struct gnttab_swap_grant_ref`: ref_a, ref_b (32 bits each), status (16).
  private func swapGrants(_ block: ArgumentBlock) -> GrantStatus {
    domain.host.withGrants {
      $0.swap(GrantReference(block.u32(0)), GrantReference(block.u32(4)), by: domain.id)
    }
  }
}
