// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Specs

private let statuses = Cases<BalloonStatus>()

/// The names of the specification of a host's memory, as numbers, at a scope that a trial runs at.
final class HostMemoryModel: Sendable {
  let domains: Int
  let frames: Int
  let pages: Int
  /// How many uses of a frame the specification counts, and one; 4,096 are real.
  let uses: Int
  /// Numbers of pages that can be named.
  let numbers: UInt64

  let programs: ProgramSet
  let create, setMaximum, setTarget, claim, kill, relinquish, forget: Int
  let increase, populate, populateOccupied, findNoExtent, decrease: Int
  let steal, replace, restore, surrender, scrub, store, retain, release, entrust: Int

  /// The first register of each table; entries follow by key, the last running fastest.
  let life, use, owner, isDirty, isMapped, guest, isSpecial, useCount: Int
  let isPresent, frame, maximum, target, claimed, charged, owed: Int
  let poolSize, limit, free, promised: Int

  /// What trials run at.
  static let random = HostMemoryModel(domains: 4, frames: 32, pages: 32, uses: 16, numbers: 128)

  /// All powers of two; extents are of up to as many frames as there are, and of twice as many, to be refused.
  /// - Parameters:
  ///   - frames: at most a quarter of `numbers`.
  ///   - pages: at most `numbers`.
  init(domains: Int, frames: Int, pages: Int, uses: Int, numbers: UInt64) {
    (self.domains, self.frames, self.pages, self.uses, self.numbers) = (domains, frames, pages, uses, numbers)
    let scope = Scope(
      name: "\(domains) domains, up to \(frames) frames",
      counts: [
        "Domain": UInt64(domains), "Frame": UInt64(frames), "GuestPage": UInt64(pages),
        "FrameUses": UInt64(uses), "Pages": numbers, "Extent": 2 * UInt64(frames),
      ])
    programs = .compiled(try Balloon().trace(), at: scope)
    let (s, layout) = (programs.layout.specification, programs.layout)
    create = s.action("create")
    setMaximum = s.action("setMaximum")
    setTarget = s.action("setTarget")
    claim = s.action("claim")
    kill = s.action("kill")
    relinquish = s.action("relinquish")
    forget = s.action("forget")
    increase = s.action("increase")
    populate = s.action("populate")
    populateOccupied = s.action("populateOccupied")
    findNoExtent = s.action("findNoExtent")
    decrease = s.action("decrease")
    steal = s.action("steal")
    replace = s.action("replace")
    restore = s.action("restore")
    surrender = s.action("surrender")
    scrub = s.action("scrub")
    store = s.action("store")
    retain = s.action("retain")
    release = s.action("release")
    entrust = s.action("entrust")
    life = layout.require("life", [0])
    use = layout.require("frames.use", [0])
    owner = layout.require("frames.owner", [0])
    isDirty = layout.require("frames.isDirty", [0])
    isMapped = layout.require("frames.isMapped", [0])
    guest = layout.require("frames.guest", [0])
    isSpecial = layout.require("frames.isSpecial", [0])
    useCount = layout.require("frames.uses", [0])
    isPresent = layout.require("physical.isPresent", [0, 0])
    frame = layout.require("physical.frame", [0, 0])
    maximum = layout.require("maximum", [0])
    target = layout.require("target", [0])
    claimed = layout.require("claimed", [0])
    charged = layout.require("charged", [0])
    owed = layout.require("owed", [0])
    poolSize = layout.require("poolSize")
    limit = layout.require("limit")
    free = layout.require("free")
    promised = layout.require("promised")
  }

  static func result(_ status: BalloonStatus) -> UInt64 {
    statuses.number(of: status)
  }
}

/// Physical memories of the model's domains. Remembers what was scrubbed.
final class HostMemoryWorld: FrameSurroundings {
  private let model: HostMemoryModel
  /// Frames that a domain's physical memory has, by domain and page.
  var physical: [UInt64?]
  var scrubbed: [UInt64] = []
  /// Whether physical memories can be told nothing.
  var isStuck = false

  init(_ model: HostMemoryModel) {
    self.model = model
    physical = [UInt64?](repeating: nil, count: model.domains * model.pages)
  }

  func reset() {
    for index in physical.indices { physical[index] = nil }
    scrubbed.removeAll(keepingCapacity: true)
    isStuck = false
  }

  func place(_ domain: DomainID, _ page: UInt64) -> Int? {
    guard Int(domain.rawValue) < model.domains, page < model.pages else { return nil }
    return Int(domain.rawValue) * model.pages + Int(page)
  }

  func scrub(_ frame: MachineFrame) { scrubbed.append(frame.rawValue) }

  func isVacant(_ first: GuestFrame, count: UInt64, of domain: DomainID) -> Bool {
    firstOccupied(first, count: count, of: domain) == nil
  }

  func firstOccupied(_ first: GuestFrame, count: UInt64, of domain: DomainID) -> UInt64? {
    (first.rawValue..<first.rawValue + count).first { page in
      place(domain, page).map { physical[$0] != nil } ?? false
    }
  }

  func map(_ first: GuestFrame, _ base: MachineFrame, count: UInt64, of domain: DomainID) {
    for offset in 0..<count {
      if let place = place(domain, first.rawValue + offset) { physical[place] = base.rawValue + offset }
    }
  }

  func unmap(_ page: GuestFrame, of domain: DomainID) -> Bool {
    guard !isStuck, let place = place(domain, page.rawValue) else { return false }
    physical[place] = nil
    return true
  }
}
