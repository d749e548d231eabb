// SPDX-License-Identifier: Apache-2.0

import Interfaces

extension GrantMachine {
  public func copy(
    from source: GrantCopyEnd, at sourceOffset: Int, to destination: GrantCopyEnd, at destinationOffset: Int,
    count: Int, by caller: DomainID
  ) -> GrantStatus {
    guard let caller = living(caller) else { return .badDomain }
    guard liesInFrame(sourceOffset, count), liesInFrame(destinationOffset, count) else {
      return .badCopyArgument
    }
    let from: MachineFrame
    switch open(source, readOnly: true, by: caller) {
    case .failure(let status): return status
    case .success(let frame): from = frame
    }
    defer { close(source, from) }
    let to: MachineFrame
    switch open(destination, readOnly: false, by: caller) {
    case .failure(let status): return status
    case .success(let frame): to = frame
    }
    defer { close(destination, to) }

    guard let input = memory.bytes(of: from), let output = memory.bytes(of: to) else { return .badPage }
    // Guests may store to both meanwhile, which harms none but them. The ranges may overlap.
    (output + destinationOffset).copyMemory(from: input + sourceOffset, byteCount: count)
    return .okay
  }

  private func liesInFrame(_ offset: Int, _ count: Int) -> Bool {
    // In this order, nothing overflows.
    (0...frameSize).contains(count) && (0...frameSize - count).contains(offset)
  }

  /// Finds one end's frame, and holds it, if it is another's, for the time of the copy. No pin is needed: calls are
  /// serialised, so the copy is over before any other.
  private func open(_ end: GrantCopyEnd, readOnly: Bool, by caller: GrantDomain) -> PinOutcome {
    switch end {
    case .frame(let frame):
      return frames.owner(of: frame) == caller.id ? .success(frame) : .failure(.badPage)
    case .grant(let granter, let reference):
      guard let granter = living(granter) else { return .failure(.badDomain) }
      guard let place = granter.place(of: reference) else { return .failure(.badReference) }
      return reach(place, granter.active[Int(reference.rawValue)], for: caller.id, writing: !readOnly)
    }
  }

  /// Lets go of what `open` held.
  private func close(_ end: GrantCopyEnd, _ frame: MachineFrame) {
    guard case .grant(let granter, let reference) = end, let granter = living(granter),
      let place = granter.place(of: reference)
    else { return }
    withdraw(from: place, keeping: granter.active[Int(reference.rawValue)].pins)
    frames.release(frame)
  }
}
