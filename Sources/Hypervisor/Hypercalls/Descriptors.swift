// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM

/// A segment descriptor as a guest gives it.
enum SegmentDescriptor {
  /// What the processor may be given in its place: privilege level 3, nothing but code and data; nil if it is a
  /// gate or a system segment, through which a guest could enter ring 0.
  ///
  /// Source: Intel SDM volume 3, section 3.4.5.
  static func checked(_ descriptor: UInt64) -> UInt64? {
    let present: UInt64 = 1 << 47
    let codeOrData: UInt64 = 1 << 44
    let code: UInt64 = 1 << 43
    let conforming: UInt64 = 1 << 42
    let accessed: UInt64 = 1 << 40
    let privilege: UInt64 = 3 << 45
    guard descriptor & present != 0 else { return 0 }
    guard descriptor & codeOrData != 0 else { return nil }
    if descriptor & code != 0, descriptor & conforming != 0 { return nil }
    return descriptor | privilege | accessed
  }

  /// What a load of a data segment's register makes of a descriptor that user code may load; of others, of none too, a flat
  /// segment that is not present.
  ///
  /// Source: Intel SDM volume 3, sections 3.4.3 and 3.4.5.
  static func dataSegment(_ descriptor: UInt64) -> Segment {
    func bit(_ number: Int) -> UInt8 { UInt8(descriptor >> UInt64(number) & 1) }
    var segment = Segment()
    segment.s = 1
    segment.type = 3
    let isReadable = bit(43) == 0 || bit(41) == 1
    let isLoadable = bit(47) == 1 && bit(44) == 1 && descriptor >> 45 & 3 == 3 && isReadable
    guard isLoadable else {
      segment.unusable = 1
      return segment
    }
    let limit = UInt32(descriptor & 0xffff | descriptor >> 32 & 0xf_0000)
    segment.base = descriptor >> 16 & 0xff_ffff | (descriptor >> 56) << 24
    segment.limit = bit(55) == 1 ? limit << 12 | 0xfff : limit
    segment.type = UInt8(descriptor >> 40 & 0xf)
    (segment.present, segment.dpl, segment.db, segment.g) = (1, 3, bit(54), bit(55))
    return segment
  }
}

/// Hypercalls about segment descriptors.
///
/// The processor never reads the guest's own table: it reads a copy in the monitor's pages, whose every descriptor
/// was checked.
extension ParavirtualProcessor {
  /// Descriptors of a guest: those behind them are the monitor's.
  private static let guestDescriptors = 14 * entriesPerTable

  /// `set_gdt`: a list of machine frames.
  func setDescriptorTable(_ list: UInt64, entries: UInt64) throws(HypercallError) -> Int64 {
    guard entries <= UInt64(Self.guestDescriptors) else { throw .invalid }
    var frames: [MachineFrame] = []
    for index in 0..<((entries + 511) / 512) {
      let frame = MachineFrame(try readWord(list &+ index * 8))
      guard domain.frames.owns(frame) else { throw .invalid }
      frames.append(frame)
    }
    return try setDescriptorTable(frames)
  }

  func setDescriptorTable(_ frames: [MachineFrame]) throws(HypercallError) -> Int64 {
    let mirror = pages.descriptorWords
    var checked = [UInt64](repeating: 0, count: frames.count * entriesPerTable)
    for (page, frame) in frames.enumerated() {
      guard let words = domain.frames.entries(of: frame) else { throw .invalid }
      for index in 0..<entriesPerTable {
        // What is no segment of the guest's is left out: using it is then the guest's own fault.
        checked[page * entriesPerTable + index] =
          SegmentDescriptor.checked((words + index).loadShared()) ?? 0
      }
    }
    mirror.update(repeating: 0, count: Self.guestDescriptors)
    for (index, descriptor) in checked.enumerated() { mirror[index] = descriptor }
    descriptorFrames = frames
    return 0
  }

  /// `update_descriptor`: one descriptor in one of the domain's frames.
  func updateDescriptor(_ address: MachineAddress, _ descriptor: UInt64) throws(HypercallError) -> Int64 {
    guard address.rawValue % 8 == 0, let checked = SegmentDescriptor.checked(descriptor) else {
      throw .invalid
    }
    guard let words = domain.frames.entries(of: address.frame) else { throw .invalid }
    (words + address.offset / 8).storeShared(checked)
    for processor in space.processors {
      guard let page = processor.descriptorFrames.firstIndex(of: address.frame) else { continue }
      processor.pages.descriptorWords[page * entriesPerTable + address.offset / 8] = checked
    }
    return 0
  }
}
