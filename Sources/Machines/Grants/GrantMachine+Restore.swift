// SPDX-License-Identifier: Apache-2.0
//
// Grant tables put into a given state: for comparison with the specification in each of its states.

import Interfaces

/// All that grant tables remember of a domain that is there.
public struct GrantDomainView: Sendable {
  public var isDying: Bool
  public var maximumFrames: Int
  /// The frames of the table.
  public var tableFrames: [UInt]
  /// The entries in use, from reference 0 on; those beyond are not in use.
  public var active: [GrantActiveView]
  /// By handle; nil for a free one.
  public var mappings: [GrantHandleView?]
  /// The free handles, the one to be handed out next first.
  public var freeHandles: [GrantHandle]

  public init(
    isDying: Bool, maximumFrames: Int, tableFrames: [UnsafeMutableRawPointer], active: [GrantActiveView],
    mappings: [GrantHandleView?], freeHandles: [GrantHandle]
  ) {
    self.isDying = isDying
    self.maximumFrames = maximumFrames
    self.tableFrames = tableFrames.map { UInt(bitPattern: $0) }
    self.active = active
    self.mappings = mappings
    self.freeHandles = freeHandles
  }
}

extension GrantMachine {
  /// Forgets everything and remembers what the views say; nil stands for a domain that is not there.
  /// - Parameter views: by domain number. They fit together: every mapping is of an entry that is there.
  public func restore(_ views: [GrantDomainView?]) {
    domains.removeAll(keepingCapacity: true)
    for (number, view) in views.enumerated() {
      domains.append(view.map { GrantDomain(id: DomainID(UInt16(number)), $0) })
    }
    for mapper in domains {
      for index in mapper?.handles.indices ?? 0..<0 {
        guard let mapping = mapper?.mapping(GrantHandle(UInt32(index))) else { continue }
        known(mapping.granter)?.mappingCount += 1
      }
    }
  }
}

extension GrantDomain {
  fileprivate convenience init(id: DomainID, _ view: GrantDomainView) {
    self.init(id: id, maximumFrames: view.maximumFrames, maximumHandles: view.mappings.count)
    isDying = view.isDying
    for frame in view.tableFrames {
      if let entries = UnsafeMutableRawPointer(bitPattern: frame) { addFrame(entries) }
    }
    for (index, entry) in view.active.enumerated() where index < active.count {
      let pins = GrantPins(
        hostRead: UInt8(entry.hostRead), hostWrite: UInt8(entry.hostWrite),
        deviceRead: UInt8(entry.deviceRead), deviceWrite: UInt8(entry.deviceWrite))
      active[index] = ActiveGrant(frame: entry.frame, domain: entry.domain, pins: pins)
    }
    restoreHandles(
      view.mappings.map { mapping in
        mapping.map {
          HandleSlot(
            granter: $0.granter, reference: $0.reference,
            use: GrantUse(readOnly: $0.readOnly, host: $0.host, device: $0.device))
        } ?? HandleSlot()
      }, free: view.freeHandles)
  }
}
