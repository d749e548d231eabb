// SPDX-License-Identifier: Apache-2.0

/// The most references that a frame carries: `retain` refuses one more. It bounds what a guest can make others
/// count, and it is the size at which the specification's counts are proved exact.
public let maximumFrameReferences: UInt32 = 4095

/// Who owns each machine frame, and how many uses keep it from changing hands.
///
/// Owned by the hypervisor; the grant machine asks it. A frame with references keeps its owner.
public protocol FrameOwnership: AnyObject {
  /// The frame's owner; nil for a frame that is free, the monitor's, or out of range.
  func owner(of frame: MachineFrame) -> DomainID?

  /// Takes a reference on a frame, for a use by somebody other than its owner.
  /// - Returns: false, and nothing happens, unless `domain` owns the frame and it carries fewer than
  ///   `maximumFrameReferences`.
  func retain(_ frame: MachineFrame, ownedBy domain: DomainID) -> Bool

  /// Whether no reference keeps the frame from changing hands.
  func isUnused(_ frame: MachineFrame) -> Bool

  /// Drops a reference that `retain` took.
  func release(_ frame: MachineFrame)

  /// Gives a frame to another domain.
  /// - Returns: false, and nothing happens, unless `from` owns the frame and it has no references.
  func transfer(_ frame: MachineFrame, from: DomainID, to: DomainID) -> Bool

  /// The number of the machine frame that a domain calls by a number in what it shares with others: a PV guest calls
  /// machine frames by their own numbers. What is no frame's is given for a number that names none.
  func machineFrameNumber(_ number: UInt32, namedBy domain: DomainID) -> UInt32
}

extension FrameOwnership {
  public func machineFrameNumber(_ number: UInt32, namedBy domain: DomainID) -> UInt32 { number }
}

/// The bytes of machine frames, for copies made on a guest's behalf.
public protocol FrameMemory: AnyObject {
  /// How many frames there are: those numbered 0 ..< frameCount.
  var frameCount: Int { get }

  /// The 4096 bytes of a frame; nil if it is out of range. Guests write these bytes at any time.
  func bytes(of frame: MachineFrame) -> UnsafeMutableRawPointer?
}
