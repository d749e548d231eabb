// SPDX-License-Identifier: Apache-2.0

import Interfaces
import Logic
import Machines
import Specs

extension FollowedGrantTables {
  /// An entry by the specification.
  func entry(_ d: Int, _ r: Int) -> GrantsEntry {
    let place = model.entry(d, r)
    return GrantsEntry(
      type: simulator[model.type + place], bit2: simulator[model.bit2 + place] == 1,
      bit3: simulator[model.bit3 + place] == 1, bit4: simulator[model.bit4 + place] == 1,
      domain: simulator[model.domain + place], frame: simulator[model.frame + place])
  }

  func remember(_ place: GrantPlace) {
    remember(names.domain(place.granter), names.reference(place.reference))
  }

  func remember(_ d: UInt64, _ r: UInt64) {
    images[model.entry(Int(d), Int(r))] = entry(Int(d), Int(r))
  }

  /// Makes the specification's entry what `change` makes of it, by stores of its domain.
  func store(_ d: UInt64, _ r: UInt64, _ change: (inout GrantsEntry) -> Void) throws(Divergence) {
    let old = entry(Int(d), Int(r))
    var new = old
    change(&new)
    func bit(_ value: Bool) -> UInt64 { value ? 1 : 0 }
    if new.type != old.type { try oracle.take(model.storeType, [d, r, new.type]) }
    if (new.bit2, new.bit3, new.bit4) != (old.bit2, old.bit3, old.bit4) {
      try oracle.take(model.storeFlags, [d, r, bit(new.bit2), bit(new.bit3), bit(new.bit4)])
    }
    if new.domain != old.domain { try oracle.take(model.storeDomain, [d, r, new.domain]) }
    if new.frame != old.frame { try oracle.take(model.storeFrame, [d, r, new.frame]) }
    let place = model.entry(Int(d), Int(r))
    if images[place] != nil { change(&images[place, default: new]) }
  }

  /// What the call wrote to entries must be what the specification made of them.
  func compareEntries() throws(Divergence) {
    for (place, change) in tap.changes {
      let (d, r) = (Int(names.domain(place.granter)), Int(names.reference(place.reference)))
      images[model.entry(d, r)]?.apply(change, names)
    }
    for (place, image) in images {
      let (d, r) = (place / model.references, place % model.references)
      let expected = entry(d, r)
      guard image == expected else {
        throw oracle.divergence(
          at: "shared[domain\(d), reference\(r)]", "it leaves \(image), it should be \(expected)")
      }
    }
  }
}

extension GrantsEntry {
  /// What a change that an operation made does to the entry.
  fileprivate mutating func apply(_ change: GrantTap.Change, _ names: GrantNames) {
    func set(_ flags: GrantFlags, _ value: Bool) {
      if flags.contains(.readOnly) { bit2 = value }
      if flags.contains(.reading) { bit3 = value }
      if flags.contains(.writing) { bit4 = value }
    }
    switch change {
    case .add(let flags): set(flags, true)
    case .clear(let flags): set(flags, false)
    case .frame(let frame): self.frame = names.frame(MachineFrame(UInt64(frame)))
    case .all(let word, let frame):
      type = UInt64(word.flags.intersection(.typeMask).rawValue)
      (bit2, bit3, bit4) = (false, false, false)
      set(word.flags, true)
      domain = names.domain(word.domain)
      self.frame = names.frame(MachineFrame(UInt64(frame)))
    }
  }
}
