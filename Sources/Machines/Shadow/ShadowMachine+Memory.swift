// SPDX-License-Identifier: Apache-2.0
//
// Shadow pages: made, linked, evicted.

import Interfaces

extension ShadowMachine {
  // MARK: Making

  /// Makes sure of a page for each level before an operation begins.
  /// - Returns: false if too little can be freed.
  func prepare() -> Bool {
    guard makeRoom(PagingLimits.levelCount) else { return false }
    isPrepared = true
    tables.made(.prepare)
    return true
  }

  func finish() {
    guard isPrepared else { return }
    isPrepared = false
    tables.made(.finish)
  }

  /// Takes write access from a frame that is to be a table, unless it is one; the caller stores.
  func protectIfPlain(_ frame: MachineFrame) {
    if state(frame).pointee.sync == .plain { protect(frame) }
  }
  func protectForTables(_ frame: MachineFrame) {
    protectIfPlain(frame)
    store()
  }

  /// Makes a frame's shadow at a level, unless there is one. The frame is the domain's to write; nobody does, if it was
  /// no table before.
  func promote(_ frame: MachineFrame, _ level: Int) {
    if state(frame).pointee.sync == .closing {
      store()
      settle(frame)
    }
    guard state(frame).pointee.shadow(at: level) == 0 else { return }
    if state(frame).pointee.sync == .outOfSync { resync(frame) }
    create(frame, level)
  }

  private func create(_ frame: MachineFrame, _ level: Int) {
    precondition(used < capacity, "R10: prepare made sure of a page")
    while pages[firstFree].isUsed { firstFree += 1 }
    pages[firstFree] = ShadowPage(isUsed: true, isRecent: true, level: UInt8(level), frame: frame)
    state(frame).pointee.setShadow(firstFree, at: level)
    used += 1
    tables.made(.create(table: frame, level: level))
  }

  /// Lets an entry lead to the shadow of the table one level below.
  func link(_ table: MachineFrame, _ level: Int, _ slot: Int, _ entry: GuestTableEntry) {
    let child = state(entry.frame).pointee.shadow(at: level - 1)
    if Int(pages[child].links) == PagingLimits.linkCount { unhook(pages[child].parents) }
    let place = number(state(table).pointee.shadow(at: level), slot)
    replace(place, with: entry.translation(at: level, to: machineFrame(of: child)))
    pages[child].links += 1
    tables.made(.link(table: table, level: level, slot: slot))
  }

  /// An entry leads nowhere any more.
  func unhook(_ entry: EntryNumber) {
    let child = pageNumber(self[entry].frame)
    pages[child].links -= 1
    replace(entry, with: .absent)
    let page = pages[page(of: entry)]
    tables.made(.unhook(table: page.frame, level: Int(page.level), slot: slot(of: entry)))
  }

  // MARK: Evicting

  /// Whether nothing but entries can lead to a page.
  private func isEvictable(_ page: Int) -> Bool {
    guard pages[page].isUsed, !pages[page].isDoomed else { return false }
    return pages[page].level != PagingLimits.topLevel || !isHeld(pages[page].frame)
  }

  /// Whether a frame's top-level shadow is pinned, or a vCPU runs on it.
  private func isHeld(_ frame: MachineFrame) -> Bool {
    if state(frame).pointee.isPinned { return true }
    for vcpu in 0..<vcpuCount where processors[vcpu].isLoaded && processors[vcpu].root == frame {
      return true
    }
    return false
  }

  /// Frees pages until `count` more can be had. The hand passes each page twice at the most.
  private func makeRoom(_ count: Int) -> Bool {
    guard used + count > capacity else { return true }
    // Those chosen are stripped first, so that the stub runs once for all.
    var victims = InlineArray<4, Int>(repeating: 0)
    let excess = used + count - capacity
    for index in 0..<min(excess, victims.count) {
      guard let page = chooseVictim() else { break }
      strip(page)
      victims[index] = page
    }
    store()
    for index in victims.indices where victims[index] != 0 { destroy(victims[index]) }
    return used + count <= capacity
  }

  private func chooseVictim() -> Int? {
    for _ in 0..<2 * pool.count {
      let page = hand
      hand = hand == pool.count ? 1 : hand + 1
      guard isEvictable(page) else { continue }
      if pages[page].isRecent {
        pages[page].isRecent = false
        continue
      }
      pages[page].isDoomed = true
      return page
    }
    return nil
  }

  /// Nothing leads to a page any more, and it leads nowhere.
  /// - Parameter givesUp: whether what only it led to is stripped with it, and doomed as it is.
  private func strip(_ page: Int, givesUp: Bool = false) {
    let (frame, level) = (pages[page].frame, Int(pages[page].level))
    if state(frame).pointee.sync == .outOfSync { resync(frame) }
    while pages[page].parents != 0 { unhook(pages[page].parents) }
    if level == 0 { makeQueueRoom() }
    for slot in 0..<PagingLimits.slotCount {
      let entry = number(page, slot)
      guard self[entry].isPresent else { continue }
      if level == 0 {
        replace(entry, with: .absent)
      } else if isReserved(level, slot) {
        empty(entry)
      } else {
        let child = pageNumber(self[entry].frame)
        unhook(entry)
        if givesUp, pages[child].links == 0, !pages[child].isDoomed {
          pages[child].isDoomed = true
          strip(child, givesUp: true)
        }
      }
    }
    if level == 0 { tables.made(.clear(table: frame)) }
  }

  /// Frees the top-level shadow of a table that nobody holds, and what only it led to: the guest may use those frames for
  /// something else.
  func giveUp(_ table: MachineFrame) {
    let page = state(table).pointee.shadow(at: PagingLimits.topLevel)
    guard page != 0, !isHeld(table) else { return }
    pages[page].isDoomed = true
    strip(page, givesUp: true)
    store()
    for page in 1...pool.count where pages[page].isDoomed { destroy(page) }
  }

  /// Frees a page that was stripped, and of which every downgrade is stored. A frame without a shadow is no table.
  private func destroy(_ page: Int) {
    let (frame, level) = (pages[page].frame, Int(pages[page].level))
    pages[page] = ShadowPage()
    state(frame).pointee.setShadow(0, at: level)
    used -= 1
    firstFree = min(firstFree, page)
    statistics.evictions += 1
    tables.made(.destroy(table: frame, level: level))
    if !state(frame).pointee.hasShadow {
      state(frame).pointee.sync = .plain
      tables.made(.release(frame: frame))
    }
  }

  /// Makes a frame no table any more.
  /// - Returns: false, and nothing happens, if it is pinned or a vCPU runs on it.
  func dismantle(_ frame: MachineFrame) -> Bool {
    if isHeld(frame) { return false }
    guard state(frame).pointee.hasShadow else { return true }
    for level in 0..<PagingLimits.levelCount {
      let page = state(frame).pointee.shadow(at: level)
      if page != 0 { strip(page) }
    }
    store()
    for level in 0..<PagingLimits.levelCount {
      let page = state(frame).pointee.shadow(at: level)
      if page != 0 { destroy(page) }
    }
    return true
  }

  /// Whether a table's shadows are of no use: nothing leads to them.
  func isUnreferenced(_ frame: MachineFrame) -> Bool {
    for level in 0..<PagingLimits.levelCount {
      let page = state(frame).pointee.shadow(at: level)
      if page != 0, pages[page].links != 0 { return false }
    }
    return !isHeld(frame)
  }

  public func resize(to capacity: Int) -> ShadowStatus {
    guard capacity <= pool.count, capacity >= pinnedCount + vcpuCount + PagingLimits.levelCount else {
      return .exhausted
    }
    while used > capacity {
      guard let page = chooseVictim() else { return .exhausted }
      strip(page)
      store()
      destroy(page)
    }
    self.capacity = capacity
    tables.made(.resize(capacity: capacity))
    return .okay
  }
}
