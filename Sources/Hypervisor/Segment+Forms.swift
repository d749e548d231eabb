// SPDX-License-Identifier: Apache-2.0

import KVM

/// Segments as a vCPU begins with them. Source: Intel SDM volume 3, section 3.4.5.
extension Segment {
  /// Types of segments that are code or data, accessed before.
  static let code: UInt8 = 11
  static let data: UInt8 = 3

  /// A segment of the first 4 GiB, of 32-bit code or of data.
  static func flat(_ selector: UInt16, type: UInt8, privilege: UInt8) -> Segment {
    var segment = Segment()
    segment.limit = 0xffff_ffff
    segment.selector = selector
    segment.type = type
    segment.present = 1
    segment.dpl = privilege
    segment.db = 1
    segment.s = 1
    segment.g = 1
    return segment
  }

  /// A task state, in use.
  static func taskState(_ selector: UInt16, base: UInt64, limit: UInt32) -> Segment {
    var segment = Segment()
    segment.base = base
    segment.limit = limit
    segment.selector = selector
    segment.type = 11
    segment.present = 1
    return segment
  }

  /// None.
  static var absent: Segment {
    var segment = Segment()
    segment.unusable = 1
    return segment
  }
}
