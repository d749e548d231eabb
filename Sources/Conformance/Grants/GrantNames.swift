// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// What things are called in the model.
///
/// At a small scope names are the numbers themselves. For a running host, domains get names as they come, and the
/// last domain, reference, handle and frame of the model stand for all that it does not have: the last domain never
/// exists, the last reference is in nobody's table, the last handle is never used, the last frame is nobody's.
struct GrantNames {
  let model: GrantsModel
  /// Whether the last of each is kept for what the model does not have.
  let isOpen: Bool
  private var domains: [DomainID: Int] = [:]
  private var named: [DomainID?]
  private var free: [Int] = []

  init(_ model: GrantsModel, isOpen: Bool) {
    self.model = model
    self.isOpen = isOpen
    named = Array(repeating: nil, count: model.domains)
    if isOpen { free = Array((0..<model.domains - 1).reversed()) }
  }

  /// Gives a domain a name.
  /// - Returns: nil if there is none left.
  mutating func adopt(_ domain: DomainID) -> Int? {
    guard isOpen else { return number(domain) }
    if let known = domains[domain] { return known }
    guard let name = free.popLast() else { return nil }
    domains[domain] = name
    named[name] = domain
    return name
  }

  mutating func disown(_ domain: DomainID) {
    guard let name = domains.removeValue(forKey: domain) else { return }
    named[name] = nil
    free.append(name)
  }

  /// The domain that has a name of the model; nil if none has.
  func machineDomain(_ name: UInt64) -> DomainID? {
    isOpen ? named[Int(name)] : DomainID(UInt16(truncatingIfNeeded: name))
  }

  /// A domain's name, if it is one of the model's.
  func number(_ domain: DomainID) -> Int? {
    isOpen ? domains[domain] : Int(domain.rawValue) < model.domains ? Int(domain.rawValue) : nil
  }

  func domain(_ domain: DomainID) -> UInt64 { UInt64(number(domain) ?? model.domains - 1) }

  func reference(_ reference: GrantReference) -> UInt64 {
    clamped(UInt64(reference.rawValue), model.references)
  }

  func handle(_ handle: GrantHandle) -> UInt64 { clamped(UInt64(handle.rawValue), model.handles) }

  func frame(_ frame: MachineFrame) -> UInt64 { clamped(frame.rawValue, model.frames) }

  /// How many of `count` are not kept for what the model does not have.
  func own(_ count: Int) -> Int { isOpen ? count - 1 : count }

  private func clamped(_ value: UInt64, _ count: Int) -> UInt64 { min(value, UInt64(count - 1)) }
}
