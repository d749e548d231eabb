// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What the pool remembers of one frame. Frames in one list, a domain's or that of free extents of one order, are linked
/// both ways.
struct PooledFrame {
  /// In `next` and `previous` at the ends of a list.
  static let none = UInt32.max

  enum Use: UInt8 {
    /// In a free extent; its first frame is in the list of its order.
    case free
    case owned
    /// Taken out of its domain by an exchange that is under way.
    case inFlight
  }

  var use = Use.free
  /// Of a free extent's first frame: its order. 0xff in every other frame.
  var order = Self.noOrder
  var isSpecial = false
  var isMapped = false
  var owner = DomainID(0)
  var uses: UInt16 = 0
  var next = Self.none
  var previous = Self.none
  /// Where the owner's physical memory has it, if `isMapped`.
  var guest = GuestFrame(0)

  static let noOrder: UInt8 = 0xff
}

/// The frames of a host, in free extents (buddies) and in lists, one for each domain. All memory is allocated when the pool
/// begins.
struct FramePool {
  let frameCount: Int
  /// The largest order that is kept and handed out.
  let limit: ExtentOrder
  private(set) var frames: ContiguousArray<PooledFrame>
  /// The first free extent of each order, and how many there are.
  private var heads: ContiguousArray<UInt32>
  private var extentCounts: ContiguousArray<Int>
  private(set) var freeCount = 0

  /// - Parameter frameCount: less than 2³² − 1.
  init(frameCount: Int, limit: ExtentOrder) {
    self.frameCount = frameCount
    self.limit = limit
    frames = ContiguousArray(repeating: PooledFrame(), count: frameCount)
    let orders = Int(limit.rawValue) + 1
    heads = ContiguousArray(repeating: PooledFrame.none, count: orders)
    extentCounts = ContiguousArray(repeating: 0, count: orders)
    var base = 0
    while base < frameCount {
      var order = limit.rawValue
      while base & (1 << Int(order) - 1) != 0 || base + 1 << Int(order) > frameCount { order -= 1 }
      insert(base, order)
      base += 1 << Int(order)
    }
    freeCount = frameCount
  }

  subscript(frame: Int) -> PooledFrame {
    get { frames[frame] }
    _modify { yield &frames[frame] }
  }

  /// The place of a frame; nil beyond the host's.
  func index(_ frame: MachineFrame) -> Int? {
    frame.rawValue < UInt64(frameCount) ? Int(truncatingIfNeeded: frame.rawValue) : nil
  }

  /// How many extents of an order the free ones hold.
  func extents(of order: ExtentOrder) -> Int {
    var count = 0
    for larger in Int(order.rawValue)..<extentCounts.count {
      count += extentCounts[larger] << (larger - Int(order.rawValue))
    }
    return count
  }

  // MARK: Buddies

  /// Takes a free extent out of the pool; nil if there is none.
  mutating func allocate(_ order: ExtentOrder) -> Int? {
    var found = Int(order.rawValue)
    while found < heads.count, heads[found] == PooledFrame.none { found += 1 }
    guard found < heads.count else { return nil }
    let base = Int(heads[found])
    remove(base)
    while found > Int(order.rawValue) {
      found -= 1
      insert(base + 1 << found, UInt8(found))
    }
    freeCount -= 1 << Int(order.rawValue)
    return base
  }

  /// One frame comes back; it is joined with what is free beside it.
  mutating func free(_ frame: Int) {
    frames[frame] = PooledFrame()
    freeCount += 1
    var (base, order) = (frame, UInt8(0))
    while order < limit.rawValue {
      let buddy = base ^ 1 << Int(order)
      guard buddy < frameCount, frames[buddy].use == .free, frames[buddy].order == order else { break }
      remove(buddy)
      base = min(base, buddy)
      order += 1
    }
    insert(base, order)
  }

  private mutating func insert(_ base: Int, _ order: UInt8) {
    frames[base].order = order
    var head = heads[Int(order)]
    push(base, onto: &head)
    heads[Int(order)] = head
    extentCounts[Int(order)] += 1
  }

  private mutating func remove(_ base: Int) {
    let order = Int(frames[base].order)
    var head = heads[order]
    unlink(base, from: &head)
    heads[order] = head
    frames[base].order = PooledFrame.noOrder
    extentCounts[order] -= 1
  }

  // MARK: Lists

  mutating func push(_ frame: Int, onto head: inout UInt32) {
    frames[frame].previous = PooledFrame.none
    frames[frame].next = head
    if head != PooledFrame.none { frames[Int(head)].previous = UInt32(frame) }
    head = UInt32(frame)
  }

  mutating func unlink(_ frame: Int, from head: inout UInt32) {
    let (next, previous) = (frames[frame].next, frames[frame].previous)
    if next != PooledFrame.none { frames[Int(next)].previous = previous }
    if previous != PooledFrame.none {
      frames[Int(previous)].next = next
    } else {
      head = next
    }
    frames[frame].next = PooledFrame.none
    frames[frame].previous = PooledFrame.none
  }
}
