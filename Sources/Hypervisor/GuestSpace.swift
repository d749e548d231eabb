// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// A guest's side of its domain: how frames of the pool become memory of the guest's, by which names the guest calls
/// them, and what its vCPUs are. All else of a domain is the same for every kind of guest.
///
/// Called with the domain's lock held, or before it is started.
protocol GuestSpace: AnyObject {
  /// Makes a vCPU, set up to begin.
  func makeProcessor(_ domain: Domain, index: Int) throws(HostError) -> Processor

  /// Gives the first vCPU its first state.
  func begin(_ processor: Processor, _ initial: FirstState) throws(HostError)

  /// The domain owns a frame from now on, beside the memory that it was made with.
  func arrive(_ frame: MachineFrame)

  /// The frame that the guest's kernel calls by a number; nil if it names none. Whether it is the domain's is not said.
  func machineFrame(named number: UInt64) -> MachineFrame?

  /// The number by which the guest's kernel calls one of its frames, with that machine frame behind it.
  func number(of frame: GuestFrame, _ machine: MachineFrame) -> UInt64

  /// Gives the domain frames of the pool, which count from then on.
  /// - Parameters:
  ///   - count: a power of two.
  ///   - number: what the guest calls the first of them; nil if it has not said.
  /// - Returns: what the guest is told: their name, if it did not choose that.
  func populate(_ count: Int, at number: UInt64?) throws(HypercallError) -> UInt64?

  /// Takes a frame from the domain, by the guest's name for it. One that somebody else maps stays.
  func giveBack(_ number: UInt64) throws(HypercallError)

  /// Names a ring that the guest may poll without leaving it.
  func expectPolling(of frame: PolledFrame)
}

extension GuestType {
  /// Whether guest frames are behind one another as the machine's are, as far as that goes: what maps them takes few pieces.
  var wantsFramesInOrder: Bool { self == .pvh }

  /// - Parameter initial: the machine frames behind the first guest frames.
  func makeSpace(
    _ configuration: DomainConfiguration, _ frames: DomainFrames, initial: [MachineFrame], on host: Host
  ) throws(HostError) -> any GuestSpace {
    try checkSupport(by: host.system)
    return switch self {
    case .pv: try ParavirtualSpace(configuration, frames, on: host)
    case .pvh: try PhysicalSpace(frames, initial: initial, on: host)
    }
  }
}
