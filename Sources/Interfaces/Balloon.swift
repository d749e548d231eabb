// SPDX-License-Identifier: Apache-2.0
//
// The memory of a host and of its domains: status codes, and the one interface behind which the specification's lockstep
// and the optimised machine both stand. Source of the operations: xen/include/public/memory.h, domctl.h.

/// What an operation on a host's memory answers.
public enum BalloonStatus: Int16, Sendable, CaseIterable {
  case okay
  /// No such domain, or it does not run (ESRCH).
  case noDomain
  /// The extent is larger than the limit (EINVAL).
  case badOrder
  /// Not the domain's frame, or no page that a guest can have (EINVAL).
  case badFrame
  /// The domain would have more than its maximum (ENOMEM).
  case overMaximum
  /// What is free is promised to others, or in pieces (ENOMEM).
  case noMemory
  /// Somebody uses the frame, or there is a claim already (EBUSY).
  case busy
  /// The domain's physical memory could not be told (EFAULT).
  case notUpdated
  /// The domain's physical memory has something there (EEXIST).
  case occupied
  /// A claim of no more than the domain has (EINVAL).
  case invalid
}

/// The size of an extent: 2^`rawValue` frames, 0 … 31.
public struct ExtentOrder: Unit {
  public let rawValue: UInt8
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// One frame.
  public static let frame = ExtentOrder(0)
  /// The largest order that any host hands out (MAX_ORDER).
  public static let largest = ExtentOrder(20)

  /// How many frames an extent has.
  @inlinable public var frameCount: UInt64 { 1 &<< UInt64(rawValue & 31) }
}

/// Frames handed out; `base` means something only when the status is okay.
public struct ExtentAnswer: Sendable, Hashable {
  public var status: BalloonStatus
  /// The first frame, aligned to the extent's size.
  public var base: MachineFrame

  public init(status: BalloonStatus, base: MachineFrame = MachineFrame(0)) {
    self.status = status
    self.base = base
  }
}

/// How many pages there are, in one domain's account.
public struct BalloonAccount: Sendable, Hashable {
  /// Frames that the domain owns (tot_pages).
  public var owned: UInt64 = 0
  /// The most that it may own (max_pages).
  public var maximum: UInt64 = 0
  /// How many it is asked to own.
  public var target: UInt64 = 0
  /// What it was promised and has not taken (outstanding_pages).
  public var claimed: UInt64 = 0

  public init() {}
}

/// What has to be told where frames are, and to empty them. Owned by the hypervisor; the machine asks it.
public protocol FrameSurroundings: AnyObject {
  /// Overwrites what a frame holds, and drops every translation that leads to it.
  func scrub(_ frame: MachineFrame)

  /// Whether a domain's physical memory has nothing at `count` pages from `first` on.
  func isVacant(_ first: GuestFrame, count: UInt64, of domain: DomainID) -> Bool

  /// A domain's physical memory has an extent of frames from a page on.
  func map(_ first: GuestFrame, _ base: MachineFrame, count: UInt64, of domain: DomainID)

  /// A domain's physical memory has nothing at a page any more.
  /// - Returns: false, and nothing happens, if it cannot be told.
  func unmap(_ page: GuestFrame, of domain: DomainID) -> Bool
}

/// The memory of a host: who has which frame, and how many each domain may have.
///
/// Rules, in the specification's numbering, stand in Specs/Balloon. Everything that a guest supplies is checked. Calls are
/// serialised by the caller.
public protocol HostMemory: AnyObject {
  /// Frames that nobody has; and those among them that no domain has been promised.
  var freeFrames: UInt64 { get }
  var unclaimedFrames: UInt64 { get }

  /// Begins a domain, with no frames and a maximum of 0.
  /// - Returns: noDomain if it exists already or its number is reserved.
  func addDomain(_ domain: DomainID) -> BalloonStatus

  /// A domain's numbers; nil for one that is not there.
  func account(of domain: DomainID) -> BalloonAccount?

  /// Sets the most frames that a domain may have (XEN_DOMCTL_max_mem). It keeps what it has.
  func setMaximum(_ pages: UInt64, of domain: DomainID) -> BalloonStatus

  /// Sets how many frames a domain is asked to have: overMaximum beyond that.
  func setTarget(_ pages: UInt64, of domain: DomainID) -> BalloonStatus

  /// Promises a domain that it may have `pages` in all (XENMEM_claim_pages); 0 takes a promise back.
  func claim(_ pages: UInt64, for domain: DomainID) -> BalloonStatus

  /// A domain dies: it is given nothing any more, and its promise is void. What it has stays until it is relinquished.
  func retire(_ domain: DomainID)

  /// Takes up to `limit` frames from a dying domain, and forgets the domain when it has none.
  /// - Returns: true when the domain is gone. False if there is more to take, or only frames that are in use: call again.
  func relinquish(_ domain: DomainID, limit: Int) -> Bool

  /// XENMEM_increase_reservation: one extent.
  func increase(_ domain: DomainID, _ order: ExtentOrder) -> ExtentAnswer

  /// XENMEM_populate_physmap: one extent at pages of the domain's physical memory.
  func populate(_ domain: DomainID, at first: GuestFrame, _ order: ExtentOrder) -> ExtentAnswer

  /// XENMEM_decrease_reservation: one frame.
  func decrease(_ domain: DomainID, _ frame: MachineFrame) -> BalloonStatus

  /// XENMEM_exchange: gives frames back and takes as many in extents of `order`; all or nothing.
  /// - Parameters:
  ///   - frames: a multiple of the extent's size, not more than the largest extent that this host hands out.
  ///   - bases: receives one base for each extent.
  /// - Returns: badOrder where `frames` is no such number, else the first reason to refuse.
  func exchange(
    _ domain: DomainID, _ frames: UnsafeBufferPointer<MachineFrame>, for order: ExtentOrder,
    into bases: UnsafeMutableBufferPointer<MachineFrame>
  ) -> BalloonStatus

  /// The owner of a frame; nil for one that is free or not the host's.
  func owner(of frame: MachineFrame) -> DomainID?

  /// A use of a frame begins, which keeps it where it is.
  /// - Returns: false, and nothing happens, unless somebody owns the frame and it has fewer uses than
  ///   `maximumFrameReferences`.
  func retain(_ frame: MachineFrame) -> Bool

  /// A use ends that `retain` began.
  func release(_ frame: MachineFrame)

  /// The hypervisor works with a frame from now on: it stays as long as its domain.
  /// - Returns: false unless somebody owns it.
  func entrust(_ frame: MachineFrame) -> Bool
}

// MARK: The self-balloon controller

/// What the controller of one domain goes by. Pages are 4 KiB.
public struct SelfBalloonSettings: Sendable, Hashable {
  /// No target is below this.
  public let floor: UInt64
  /// No target is above this.
  public let maximum: UInt64
  /// The part of the gap that one step takes, downwards and upwards, is one over this; at least 1.
  public let down: UInt64
  public let up: UInt64

  /// - Returns: nil where the floor is above the maximum, a number is 2⁴⁰ or more, or a hysteresis is not 1 … 15.
  public init?(floor: UInt64, maximum: UInt64, down: UInt64 = 10, up: UInt64 = 1) {
    guard floor <= maximum, maximum < 1 << 40, 1...15 ~= down, 1...15 ~= up else { return nil }
    self.floor = floor
    self.maximum = maximum
    self.down = down
    self.up = up
  }

  /// Xen 3.3's settings for a domain of at most `maximum` pages, fewer than 2⁴⁰.
  public init?(maximum: UInt64) {
    self.init(floor: balloonFloor(maximum: maximum), maximum: maximum)
  }
}

/// The controller of one domain: a value, told each second what the domain needs. Sizes are pages of 4 KiB.
public protocol SelfBalloonControl: Sendable {
  var settings: SelfBalloonSettings { get }
  /// Whether it is the controller that sets the target, and not the toolstack (directed mode).
  var isOn: Bool { get }
  /// What the domain has.
  var current: UInt64 { get }
  /// What its balloon driver is asked to reach.
  var target: UInt64 { get }
  /// What it needs, within the bounds.
  var goal: UInt64 { get }

  /// A controller that is on, of a domain that needs what it has.
  /// - Returns: nil where that is out of the settings' bounds.
  init?(_ settings: SelfBalloonSettings, current: UInt64)

  /// A controller as it was.
  /// - Returns: nil where a size is out of the settings' bounds.
  init?(_ settings: SelfBalloonSettings, isOn: Bool, current: UInt64, target: UInt64, goal: UInt64)

  /// Sets the hystereses.
  /// - Returns: false, and nothing changes, unless both are 1 … 15.
  mutating func configure(down: UInt64, up: UInt64) -> Bool

  mutating func turn(on: Bool)

  /// The kernel says what it needs (Committed_AS).
  mutating func need(_ pages: UInt64)

  /// The toolstack sets the target; it is brought within the bounds.
  /// - Returns: false, and nothing changes, while the controller is on.
  mutating func direct(_ pages: UInt64) -> Bool

  /// The step of each second.
  /// - Returns: the new target; nil, and nothing changes, while the controller is off.
  mutating func tick() -> UInt64?

  /// The balloon driver has moved towards the target: the domain has `pages` now.
  /// - Returns: false, and nothing changes, unless that is another number, and between what it had and the target.
  mutating func move(_ pages: UInt64) -> Bool
}

/// The pages below which a domain of at most `maximum` pages is not ballooned.
///
/// Source: tools/xenballoond of Xen 3.3, which computes in MB: 8 + p/2⁹ under 125 MB, 40 + p/2¹⁰ under 500, 104 + p/2¹¹
/// under 2,000, else 296 + p/2¹³. Computed in pages here, nothing is lost to rounding, and a domain smaller than the
/// constant keeps all that it has.
public func balloonFloor(maximum pages: UInt64) -> UInt64 {
  let megabyte: UInt64 = 256
  let floor: UInt64
  switch pages / megabyte {
  case ..<125: floor = 8 * megabyte + pages / 2
  case ..<500: floor = 40 * megabyte + pages / 4
  case ..<2000: floor = 104 * megabyte + pages / 8
  default: floor = 296 * megabyte + pages / 32
  }
  return min(floor, pages)
}
