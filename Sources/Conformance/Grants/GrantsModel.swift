// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

/// The names of the grant tables' specification, as numbers, at one scope.
final class GrantsModel: Sendable {
  static let lives = Cases<Life>()

  let programs: ProgramSet
  let domains, references, handles, frames: Int
  let map, mapIntoEntry, mapWithoutHandle, unmap, copyThroughGrant, copyThroughFrame, transfer, swap: Int
  let create, grow, retire, forget, assign, free, grant, revoke: Int
  let storeType, storeFlags, storeDomain, storeFrame: Int

  /// The first register of each table; entries follow by key, the last running fastest.
  let life, covers: Int
  let type, bit2, bit3, bit4, domain, frame: Int
  let activeDomain, activeFrame: Int
  let mappingHost, mappingDevice, mappingReadOnly, mappingGranter, mappingReference, mappingFrame: Int
  let isOwned, owner: Int
  let pinCount, useCount: Int
  /// The most references that a frame can have.
  let largestUse: UInt64
  /// The most pins of one kind that an entry can have.
  let largestPin: UInt64

  /// - Parameters:
  ///   - domains, references, handles, frames: how many there are.
  ///   - pinBits, useBits: of the counts; 7 and 32 are the real ones.
  init(domains: Int, references: Int, handles: Int, frames: Int, pinBits: Int = 7, useBits: Int = 32) {
    self.domains = domains
    self.references = references
    self.handles = handles
    self.frames = frames
    let scope = Scope(
      name: "\(domains) domains, \(references) references, \(handles) handles, \(frames) frames",
      counts: [
        "Domain": UInt64(domains), "Reference": UInt64(references), "Handle": UInt64(handles),
        "Frame": UInt64(frames), "PinCount": 1 << UInt64(pinBits), "UseCount": 1 << UInt64(useBits),
      ])
    programs = .compiled(try Grants().trace(), at: scope)
    largestPin = mask(pinBits)
    largestUse = mask(useBits)
    let (s, layout) = (programs.layout.specification, programs.layout)
    map = s.action("map")
    mapIntoEntry = s.action("mapIntoEntry")
    swap = s.action("swap")
    mapWithoutHandle = s.action("mapWithoutHandle")
    unmap = s.action("unmap")
    copyThroughGrant = s.action("copyThroughGrant")
    copyThroughFrame = s.action("copyThroughFrame")
    transfer = s.action("transfer")
    create = s.action("create")
    grow = s.action("grow")
    retire = s.action("retire")
    forget = s.action("forget")
    assign = s.action("assign")
    free = s.action("free")
    grant = s.action("grant")
    revoke = s.action("revoke")
    storeType = s.action("storeType")
    storeFlags = s.action("storeFlags")
    storeDomain = s.action("storeDomain")
    storeFrame = s.action("storeFrame")
    func table(_ component: String, keys: Int) -> Int {
      layout.require(component, Array(repeating: 0, count: keys))
    }
    life = table("life", keys: 1)
    covers = table("covers", keys: 2)
    type = table("shared.type", keys: 2)
    bit2 = table("shared.bit2", keys: 2)
    bit3 = table("shared.bit3", keys: 2)
    bit4 = table("shared.bit4", keys: 2)
    domain = table("shared.domain", keys: 2)
    frame = table("shared.frame", keys: 2)
    activeDomain = table("active.domain", keys: 2)
    activeFrame = table("active.frame", keys: 2)
    mappingHost = table("mappings.host", keys: 2)
    mappingDevice = table("mappings.device", keys: 2)
    mappingReadOnly = table("mappings.readOnly", keys: 2)
    mappingGranter = table("mappings.granter", keys: 2)
    mappingReference = table("mappings.reference", keys: 2)
    mappingFrame = table("mappings.frame", keys: 2)
    isOwned = table("frames.isOwned", keys: 1)
    owner = table("frames.owner", keys: 1)
    pinCount = table("pins.count", keys: 3)
    useCount = table("uses.count", keys: 1)
  }

  func entry(_ domain: Int, _ reference: Int) -> Int { domain * references + reference }
  func mapping(_ domain: Int, _ handle: Int) -> Int { domain * handles + handle }

  /// The status that an action answered.
  static func status(_ result: UInt64) -> GrantStatus { GrantStatus.allCases[Int(result)] }
  static func result(_ status: GrantStatus) -> UInt64 {
    UInt64(GrantStatus.allCases.firstIndex(of: status) ?? 0)
  }
}

/// One entry, as the model sees it.
struct GrantsEntry: Hashable {
  var type: UInt64 = 0
  var bit2 = false
  var bit3 = false
  var bit4 = false
  var domain: UInt64 = 0
  var frame: UInt64 = 0
}
