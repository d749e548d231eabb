// SPDX-License-Identifier: Apache-2.0
//
// Bugs that were real, as one-place changes of the specification. Each must be caught.

import Interfaces
import Logic

/// XSA-224: unmapping one part of a mapping for host and device drops the frame's reference, and so does the other.
final class GrantsXSA224: Grants {
  override func dropsReference(_ mapping: Mapping, host: Bit, device: Bit) -> Bit { true }
}

/// XSA-234: unmapping ignores whether the mapping was writable.
final class GrantsXSA234: Grants {
  override func leavePin(_ m: Domain, _ h: Handle, _ part: Part, _ d: Domain, _ r: Reference, _ readOnly: Bit)
  {
    super.leavePin(m, h, part, d, r, true)
  }
}

/// XSA-230: the status fix-up on unmap ignores device pins.
final class GrantsXSA230: Grants {
  override func unflag(_ d: Domain, _ r: Reference) {
    when(pinCount(d, r, .hostWrite) == 0) { shared[d, r].bit4 = false }
    when(pinCount(d, r, .hostWrite) == 0 && pinCount(d, r, .hostRead) == 0) { shared[d, r].bit3 = false }
  }
}

/// XSA-228: the free list of handles is used without its lock, and one handle is handed out twice.
final class GrantsXSA228: Grants {
  override func isFree(_ m: Domain, _ h: Handle) -> Bit { true }
}

/// XSA-226, 411, 500: an entry that is pinned is used without checking for whom.
final class GrantsXSA226: Grants {
  override func isForeign(_ d: Domain, _ r: Reference, to caller: Domain) -> Bit { false }
}

/// XSA-394: unmapping a part drops a pin that belongs to the part that stays.
final class GrantsXSA394: Grants {
  override func leavePin(_ m: Domain, _ h: Handle, _ part: Part, _ d: Domain, _ r: Reference, _ readOnly: Bit)
  {
    super.leavePin(m, h, .host, d, r, readOnly)
  }
}

/// XSA-26, 255, 379, 384, 486: a table goes while a frame granted by it is still mapped.
final class GrantsXSA255: Grants {
  override func requireUnmapped(_ domain: Domain) {
    requireAll("R10") { (m: Domain, h: Handle) in !(self.mappings[m, h].isUsed && m == domain) }
  }
  override func requireFrameless(_ domain: Domain) {}
}

/// XSA-382: the capacity check uses the wrong count.
final class GrantsXSA382: Grants {
  override func overflows(_ d: Domain, _ r: Reference, _ part: Part, _ readOnly: Bit) -> Bit {
    super.overflows(d, r, part, !readOnly)
  }
}

/// XSA-214, 217: a transferred frame is still in use by others.
final class GrantsXSA214: Grants {
  override func isUnused(_ f: Frame) -> Bit { true }
}

/// XSA-227: a mapping is written to an address that is not an entry's.
final class GrantsXSA227: Grants {
  override func isWhole(_ offset: EntryOffset) -> Bit { true }
}

/// XSA-18, 134: two entries change places although one is pinned.
final class GrantsXSA134: Grants {
  override func isBusy(_ d: Domain, _ r: Reference) -> Bit { false }
}

/// XSA-18, 134: the second of two entries that change places is not checked to be in the table.
final class GrantsXSA18: Grants {
  override func covers(_ caller: Domain, _ a: Reference, _ b: Reference) -> Bit { covers[caller, a] }
}

extension Scope {
  /// Domain 1 grants, domain 0 maps, with two handles; each of two frames.
  static let oneGranter = Scope(
    name: "one granter", arguments: oneMapper)
  /// Two entries that may change places, one handle, one frame; the guests keep to the protocol.
  static let twoReferences = Scope(
    name: "two references", counts: ["Reference": 2, "Handle": 1, "Frame": 1], arguments: oneMapper,
    excluding: ["storeType", "storeFlags", "storeDomain", "storeFrame", "free", "transfer"])

  private static let oneMapper: [String: Set<UInt64>] = [
    "grow.domain": [1], "map.mapper": [0], "mapIntoEntry.mapper": [0], "mapWithoutHandle.mapper": [0],
  ]
}

/// Grant tables for the engines.
public let grantsSubject = Subject(
  "Grants", scopes: [.oneGranter, .twoReferences],
  mutants: [
    HandMutant(
      "XSA-224", advisory: "XSA-224",
      mechanism: "a frame mapped for host and device: unmapping drops one reference too many",
      killer: "references are exact"
    ) { GrantsXSA224() },
    HandMutant(
      "XSA-234", advisory: "XSA-234", mechanism: "unmap ignores whether the mapping was writable",
      killer: "pins are exact"
    ) { GrantsXSA234() },
    HandMutant(
      "XSA-230", advisory: "XSA-230", mechanism: "the status fix-up on unmap ignores device pins",
      killer: "flags say what is pinned"
    ) { GrantsXSA230() },
    HandMutant(
      "XSA-228", advisory: "XSA-228", mechanism: "one handle is handed out twice",
      killer: "pins are exact"
    ) { GrantsXSA228() },
    HandMutant(
      "XSA-226", advisory: "XSA-226, 411, 500",
      mechanism: "an already pinned entry is used without checking that the domain is still the same",
      killer: "only what is permitted is reached"
    ) { GrantsXSA226() },
    HandMutant(
      "XSA-394", advisory: "XSA-394", mechanism: "unmapping a part drops the other part's pin",
      killer: "pins are exact"
    ) { GrantsXSA394() },
    HandMutant(
      "XSA-255", advisory: "XSA-26, 255, 379, 384, 486",
      mechanism: "a table goes while a frame granted by it is still mapped",
      killer: "a mapping is of an entry of a domain that is there"
    ) { GrantsXSA255() },
    HandMutant(
      "XSA-382", advisory: "XSA-382", mechanism: "the capacity check uses the wrong count",
      killer: "flags say what is pinned"
    ) { GrantsXSA382() },
    HandMutant(
      "XSA-214", advisory: "XSA-214, 217, 284, 287",
      mechanism: "a frame in use by others is transferred or freed",
      killer: "a mapped frame stays its granter's"
    ) { GrantsXSA214() },
    HandMutant(
      "XSA-227", advisory: "XSA-227", mechanism: "a misaligned page-table-entry address is accepted",
      killer: "a mapping lies in one whole entry"
    ) { GrantsXSA227() },
    HandMutant(
      "XSA-134", advisory: "XSA-18, 134", mechanism: "two references are swapped without a busy check",
      killer: "only what is permitted is reached"
    ) { GrantsXSA134() },
    HandMutant(
      "XSA-18", advisory: "XSA-18, 134", mechanism: "two references are swapped without a range check",
      killer: "only what is permitted is reached"
    ) { GrantsXSA18() },
  ],
  equivalents: grantsEquivalents
) { Grants() }

/// Mechanical mutants of Grants that are no bugs.
private let grantsEquivalents: [EquivalentMutant] = {
  let unread = "nobody reads the fields of a handle that is out of use, or an active entry that is not pinned"
  let flagged = "an entry whose domain keeps to the protocol has the flag already; others may hold anything"
  let outside = "an entry beyond a table lies in nobody's memory, and grow clears it"
  let milder = "a hostile guest that stores less"
  return [
    EquivalentMutant("unmap: assignment 12 dropped", because: unread),
    EquivalentMutant("unmap: assignment 15 dropped", because: unread),
    EquivalentMutant("copyThroughGrant: assignment 2 dropped", because: flagged),
    EquivalentMutant("copyThroughGrant: assignment 3 dropped", because: flagged),
    EquivalentMutant("storeType: guard 1 dropped", because: outside),
    EquivalentMutant("storeFlags: guard 1 dropped", because: outside),
    EquivalentMutant("storeDomain: guard 1 dropped", because: outside),
    EquivalentMutant("storeFrame: guard 1 dropped", because: outside),
    EquivalentMutant("storeFlags: assignment 2 dropped", because: milder),
    EquivalentMutant("storeFlags: assignment 3 dropped", because: milder),
    EquivalentMutant("storeFlags: assignment 4 dropped", because: milder),
    EquivalentMutant("storeDomain: assignment 2 dropped", because: milder),
    EquivalentMutant("storeFrame: assignment 2 dropped", because: milder),
  ]
}()
