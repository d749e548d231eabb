// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces

/// A small structure that a guest passes, read once. Offsets are the caller's own constants.
struct ArgumentBlock {
  static let capacity = 64
  private var words = InlineArray<8, UInt64>(repeating: 0)

  func u64(_ offset: Int) -> UInt64 {
    precondition(offset % 8 == 0, "a field is aligned")
    return words[offset / 8]
  }
  func u32(_ offset: Int) -> UInt32 {
    UInt32(truncatingIfNeeded: words[offset / 8] >> UInt64(offset % 8 * 8))
  }
  func u16(_ offset: Int) -> UInt16 {
    UInt16(truncatingIfNeeded: words[offset / 8] >> UInt64(offset % 8 * 8))
  }
  func u8(_ offset: Int) -> UInt8 { UInt8(truncatingIfNeeded: words[offset / 8] >> UInt64(offset % 8 * 8)) }

  mutating func set(_ offset: Int, u64 value: UInt64) { words[offset / 8] = value }
  mutating func set(_ offset: Int, u32 value: UInt32) { set(offset, bits: UInt64(value), mask: 0xffff_ffff) }
  mutating func set(_ offset: Int, u16 value: UInt16) { set(offset, bits: UInt64(value), mask: 0xffff) }

  private mutating func set(_ offset: Int, bits: UInt64, mask: UInt64) {
    let shift = UInt64(offset % 8 * 8)
    words[offset / 8] = words[offset / 8] & ~(mask << shift) | bits << shift
  }

  mutating func withBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) throws(HypercallError) -> Result)
    throws(HypercallError) -> Result
  {
    var copy = words
    defer { words = copy }
    let result: Swift.Result<Result, HypercallError> = withUnsafeMutableBytes(of: &copy) { bytes in
      do throws(HypercallError) { return .success(try body(bytes)) } catch { return .failure(error) }
    }
    return try result.get()
  }
}

/// Copies between the monitor and a guest's address space, as the guest's current mode would make them.
///
/// Every page is checked in the guest's own tables; what cannot be reached is a bad address.
extension Processor {
  private enum Direction { case fromGuest, toGuest }

  /// Copies from the guest, each byte once.
  func copyIn(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(HypercallError) {
    try copy(address, buffer, .fromGuest, for: .read)
  }

  /// Copies to the guest.
  func copyOut(_ buffer: UnsafeRawBufferPointer, to address: UInt64) throws(HypercallError) {
    try copy(address, UnsafeMutableRawBufferPointer(mutating: buffer), .toGuest, for: .write)
  }

  /// Copies instruction bytes, up to the first page that cannot be executed; returns how many.
  func copyInstruction(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
    let first = min(frameSize - Int(address & 0xfff), buffer.count)
    var done = 0
    for end in [first, buffer.count] where end > done {
      let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<end])
      do throws(HypercallError) {
        try copy(address &+ UInt64(done), piece, .fromGuest, for: .execute)
      } catch { return done }
      done = end
    }
    return done
  }

  /// Reads a structure of up to 64 bytes.
  func argument(_ address: UInt64, byteCount: Int) throws(HypercallError) -> ArgumentBlock {
    var block = ArgumentBlock()
    try block.withBytes { bytes throws(HypercallError) in
      try copyIn(address, into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<byteCount]))
    }
    return block
  }

  /// Writes a structure back.
  func reply(_ block: ArgumentBlock, byteCount: Int, to address: UInt64) throws(HypercallError) {
    var copy = block
    try copy.withBytes { bytes throws(HypercallError) in
      try copyOut(UnsafeRawBufferPointer(rebasing: bytes[..<byteCount]), to: address)
    }
  }

  func readWord(_ address: UInt64) throws(HypercallError) -> UInt64 {
    try argument(address, byteCount: 8).u64(0)
  }

  func write<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, to address: UInt64)
    throws(HypercallError)
  {
    var little = value
    let result: Result<Void, HypercallError> = withUnsafeMutableBytes(of: &little) { bytes in
      do throws(HypercallError) {
        return .success(try copyOut(UnsafeRawBufferPointer(bytes), to: address))
      } catch {
        return .failure(error)
      }
    }
    try result.get()
  }

  private func copy(
    _ address: UInt64, _ buffer: UnsafeMutableRawBufferPointer, _ direction: Direction, for access: Access
  ) throws(HypercallError) {
    guard let base = buffer.baseAddress else { return }
    var done = 0
    while done < buffer.count {
      let (position, overflow) = address.addingReportingOverflow(UInt64(done))
      guard !overflow else { throw .badAddress }
      let page = try reach(VirtualAddress(position), for: access)
      let offset = Int(position & 0xfff)
      let count = min(frameSize - offset, buffer.count - done)
      switch direction {
      case .fromGuest: memcpy(base + done, page + offset, count)
      case .toGuest: memcpy(page + offset, base + done, count)
      }
      done += count
    }
  }
}
