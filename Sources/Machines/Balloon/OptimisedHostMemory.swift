// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What the pool remembers of one domain.
struct PoolAccount {
  enum Life: UInt8 { case absent, running, dying }

  var life = Life.absent
  var numbers = BalloonAccount()
  /// The first frame of the list of those that it owns.
  var head = PooledFrame.none
  /// Of a dying domain: the first of those that were found to be in use.
  var waiting = PooledFrame.none
}

/// The memory of a host.
///
/// Frames are scrubbed when they come back, before anybody else can be given them, and so a free frame is always clean.
/// No operation allocates; each takes time in the size of the extents that it names, and no more.
public final class OptimisedHostMemory: HostMemory {
  private let surroundings: any FrameSurroundings
  private var pool: FramePool
  private var accounts: ContiguousArray<PoolAccount>
  /// All that is claimed and not yet taken.
  private var promised: UInt64 = 0

  /// - Parameters:
  ///   - frameCount: the host's frames are those numbered 0 ..< frameCount: 1 … 2³² − 2.
  ///   - limit: the largest extent that is handed out, to `ExtentOrder.largest`.
  ///   - domainCount: domains are those numbered 0 ..< domainCount, and no others: up to the first reserved number.
  /// - Returns: nil where one is out of range.
  public init?(
    frameCount: Int, limit: ExtentOrder, domainCount: Int = Int(DomainID.firstReserved.rawValue),
    surroundings: any FrameSurroundings
  ) {
    guard frameCount > 0, frameCount < Int(UInt32.max), limit <= .largest,
      0...Int(DomainID.firstReserved.rawValue) ~= domainCount
    else { return nil }
    self.surroundings = surroundings
    pool = FramePool(frameCount: frameCount, limit: limit)
    accounts = ContiguousArray(repeating: PoolAccount(), count: domainCount)
  }

  public var freeFrames: UInt64 { UInt64(pool.freeCount) }
  public var unclaimedFrames: UInt64 { freeFrames - promised }

  // MARK: The toolstack

  public func addDomain(_ domain: DomainID) -> BalloonStatus {
    guard isNumber(domain), accounts[Int(domain.rawValue)].life == .absent else { return .noDomain }
    accounts[Int(domain.rawValue)].life = .running
    return .okay
  }

  public func account(of domain: DomainID) -> BalloonAccount? {
    guard isNumber(domain), accounts[Int(domain.rawValue)].life != .absent else { return nil }
    return accounts[Int(domain.rawValue)].numbers
  }

  public func setMaximum(_ pages: UInt64, of domain: DomainID) -> BalloonStatus {
    guard let index = running(domain) else { return .noDomain }
    accounts[index].numbers.maximum = pages
    accounts[index].numbers.target = min(accounts[index].numbers.target, pages)
    return .okay
  }

  public func setTarget(_ pages: UInt64, of domain: DomainID) -> BalloonStatus {
    guard let index = running(domain) else { return .noDomain }
    guard pages <= accounts[index].numbers.maximum else { return .overMaximum }
    accounts[index].numbers.target = pages
    return .okay
  }

  public func claim(_ pages: UInt64, for domain: DomainID) -> BalloonStatus {
    guard let index = running(domain) else { return .noDomain }
    let numbers = accounts[index].numbers
    if pages == 0 {
      promised -= numbers.claimed
      accounts[index].numbers.claimed = 0
      return .okay
    }
    guard numbers.claimed == 0 else { return .busy }
    guard pages > numbers.owned else { return .invalid }
    guard pages <= numbers.maximum else { return .overMaximum }
    guard pages - numbers.owned <= unclaimedFrames else { return .noMemory }
    accounts[index].numbers.claimed = pages - numbers.owned
    promised += pages - numbers.owned
    return .okay
  }

  public func retire(_ domain: DomainID) {
    guard let index = running(domain) else { return }
    accounts[index].life = .dying
    promised -= accounts[index].numbers.claimed
    accounts[index].numbers.claimed = 0
  }

  public func relinquish(_ domain: DomainID, limit: Int) -> Bool {
    guard isNumber(domain), accounts[Int(domain.rawValue)].life == .dying else { return false }
    let index = Int(domain.rawValue)
    for _ in 0..<max(0, limit) {
      let frame = accounts[index].head
      guard frame != PooledFrame.none else { break }
      let place = Int(frame)
      pool.unlink(place, from: &accounts[index].head)
      if pool[place].uses != 0 {
        pool.push(place, onto: &accounts[index].waiting)
        continue
      }
      accounts[index].numbers.owned -= 1
      if pool[place].isMapped { _ = surroundings.unmap(pool[place].guest, of: domain) }
      giveBack(place)
    }
    guard accounts[index].head == PooledFrame.none else { return false }
    if accounts[index].waiting == PooledFrame.none {
      accounts[index] = PoolAccount()
      return true
    }
    // The next call looks at those that were in use again.
    accounts[index].head = accounts[index].waiting
    accounts[index].waiting = PooledFrame.none
    return false
  }

  // MARK: Extents

  public func increase(_ domain: DomainID, _ order: ExtentOrder) -> ExtentAnswer {
    allocate(domain, order, at: nil)
  }

  public func populate(_ domain: DomainID, at first: GuestFrame, _ order: ExtentOrder) -> ExtentAnswer {
    allocate(domain, order, at: first)
  }

  private func allocate(_ domain: DomainID, _ order: ExtentOrder, at first: GuestFrame?) -> ExtentAnswer {
    guard let index = running(domain) else { return ExtentAnswer(status: .noDomain) }
    guard order <= pool.limit else { return ExtentAnswer(status: .badOrder) }
    let count = order.frameCount
    let numbers = accounts[index].numbers
    if let first, first.rawValue > Self.lastGuestFrame || Self.lastGuestFrame - first.rawValue < count - 1 {
      return ExtentAnswer(status: .badFrame)
    }
    // Not by a sum, which could wrap.
    guard numbers.owned <= numbers.maximum, count <= numbers.maximum - numbers.owned else {
      return ExtentAnswer(status: .overMaximum)
    }
    guard count <= unclaimedFrames + numbers.claimed else { return ExtentAnswer(status: .noMemory) }
    if let first, !surroundings.isVacant(first, count: count, of: domain) {
      return ExtentAnswer(status: .occupied)
    }
    guard let base = pool.allocate(order) else { return ExtentAnswer(status: .noMemory) }
    join(base, Int(count), index, domain, at: first)
    let taken = min(numbers.claimed, count)
    accounts[index].numbers.claimed -= taken
    promised -= taken
    let frame = MachineFrame(UInt64(base))
    if let first { surroundings.map(first, frame, count: count, of: domain) }
    return ExtentAnswer(status: .okay, base: frame)
  }

  public func decrease(_ domain: DomainID, _ frame: MachineFrame) -> BalloonStatus {
    guard let index = running(domain) else { return .noDomain }
    let status = removal(of: frame, from: domain)
    guard status == .okay, let place = pool.index(frame) else { return status }
    if pool[place].isMapped, !surroundings.unmap(pool[place].guest, of: domain) { return .notUpdated }
    leave(place, index)
    giveBack(place)
    return .okay
  }

  // MARK: Exchange

  public func exchange(
    _ domain: DomainID, _ frames: UnsafeBufferPointer<MachineFrame>, for order: ExtentOrder,
    into bases: UnsafeMutableBufferPointer<MachineFrame>
  ) -> BalloonStatus {
    guard let index = running(domain) else { return .noDomain }
    let most = Int(pool.limit.frameCount)
    guard order <= pool.limit, frames.count > 0, frames.count <= most else { return .badOrder }
    let extents = frames.count >> Int(order.rawValue)
    guard frames.count == extents << Int(order.rawValue), bases.count >= extents else { return .badOrder }
    // The frames may lie in memory that the guest writes to: each is read once, and what was taken is found in a list.
    var stolen = PooledFrame.none
    for number in 0..<frames.count {
      let status = steal(frames[number], domain, index, &stolen)
      if status != .okay { return undo(stolen, index, status) }
    }
    guard UInt64(frames.count) <= unclaimedFrames, extents <= pool.extents(of: order) else {
      return undo(stolen, index, .noMemory)
    }
    for number in 0..<extents {
      guard let base = pool.allocate(order) else { preconditionFailure("so many extents were counted") }
      join(base, Int(order.frameCount), index, domain, at: nil)
      bases[number] = MachineFrame(UInt64(base))
    }
    while stolen != PooledFrame.none {
      let place = Int(stolen)
      pool.unlink(place, from: &stolen)
      giveBack(place)
    }
    return .okay
  }

  private func steal(_ frame: MachineFrame, _ domain: DomainID, _ index: Int, _ stolen: inout UInt32)
    -> BalloonStatus
  {
    let status = removal(of: frame, from: domain)
    guard status == .okay, let place = pool.index(frame) else { return status }
    if pool[place].isMapped, !surroundings.unmap(pool[place].guest, of: domain) { return .notUpdated }
    leave(place, index)
    pool[place].use = .inFlight
    pool[place].isMapped = false
    pool.push(place, onto: &stolen)
    return .okay
  }

  /// The frames that were taken are the domain's again. Its physical memory has them no more: the guest was about to
  /// give them up, and finds them by their machine numbers.
  private func undo(_ stolen: UInt32, _ index: Int, _ status: BalloonStatus) -> BalloonStatus {
    var stolen = stolen
    while stolen != PooledFrame.none {
      let place = Int(stolen)
      pool.unlink(place, from: &stolen)
      pool[place].use = .owned
      pool.push(place, onto: &accounts[index].head)
      accounts[index].numbers.owned += 1
    }
    return status
  }

  // MARK: Frames

  public func owner(of frame: MachineFrame) -> DomainID? {
    guard let place = pool.index(frame), pool[place].use != .free else { return nil }
    return pool[place].owner
  }

  public func retain(_ frame: MachineFrame) -> Bool {
    guard let place = pool.index(frame), pool[place].use == .owned,
      UInt32(pool[place].uses) < maximumFrameReferences
    else { return false }
    pool[place].uses += 1
    return true
  }

  public func release(_ frame: MachineFrame) {
    guard let place = pool.index(frame), pool[place].uses > 0 else { return }
    pool[place].uses -= 1
  }

  public func entrust(_ frame: MachineFrame) -> Bool {
    guard let place = pool.index(frame), pool[place].use == .owned else { return false }
    pool[place].isSpecial = true
    return true
  }

  // MARK: Pieces

  /// The largest page that a guest can have: 32 bits, as in the specification.
  private static let lastGuestFrame: UInt64 = 1 << 32 - 1

  private func isNumber(_ domain: DomainID) -> Bool { Int(domain.rawValue) < accounts.count }

  private func running(_ domain: DomainID) -> Int? {
    let index = Int(domain.rawValue)
    return isNumber(domain) && accounts[index].life == .running ? index : nil
  }

  /// What keeps a frame from being taken out of a domain, or okay.
  private func removal(of frame: MachineFrame, from domain: DomainID) -> BalloonStatus {
    guard let place = pool.index(frame), pool[place].use == .owned, pool[place].owner == domain else {
      return .badFrame
    }
    return pool[place].isSpecial || pool[place].uses != 0 ? .busy : .okay
  }

  private func join(_ base: Int, _ count: Int, _ index: Int, _ domain: DomainID, at first: GuestFrame?) {
    for offset in 0..<count {
      pool[base + offset].use = .owned
      pool[base + offset].owner = domain
      if let first {
        pool[base + offset].isMapped = true
        pool[base + offset].guest = GuestFrame(first.rawValue + UInt64(offset))
      }
      pool.push(base + offset, onto: &accounts[index].head)
    }
    accounts[index].numbers.owned += UInt64(count)
  }

  private func leave(_ frame: Int, _ index: Int) {
    pool.unlink(frame, from: &accounts[index].head)
    accounts[index].numbers.owned -= 1
  }

  private func giveBack(_ frame: Int) {
    surroundings.scrub(MachineFrame(UInt64(frame)))
    pool.free(frame)
  }
}
