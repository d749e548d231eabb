// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// Hands on what grant tables ask about frames, and remembers the answers of the operation under way: other
/// processors may change a frame's owner between the operation and its comparison.
public final class FrameTap: FrameOwnership {
  private let inner: any FrameOwnership
  /// What the operation was told of owners, and whether the comparison has used it.
  private var answers: [(frame: MachineFrame, owner: DomainID?, isUsed: Bool)] = []
  /// References that the grant tables hold.
  private var references: [MachineFrame: Int] = [:]
  /// Whether a frame was said to be held by somebody.
  private(set) var isHeld = false
  /// Whether a frame was refused to its owner.
  private(set) var refused = false

  public init(_ inner: any FrameOwnership) { self.inner = inner }

  /// A new operation begins.
  func begin() {
    answers.removeAll(keepingCapacity: true)
    isHeld = false
    refused = false
  }

  /// The owner that the operation was told of, in the order in which it asked; if it did not ask, the one that there
  /// is now.
  func takeOwner(of frame: MachineFrame) -> DomainID? {
    guard let index = answers.firstIndex(where: { $0.frame == frame && !$0.isUsed }) else {
      return inner.owner(of: frame)
    }
    answers[index].isUsed = true
    return answers[index].owner
  }

  /// The owner that the operation was told of last, or that it made.
  func lastOwner(of frame: MachineFrame) -> DomainID? {
    guard let answer = answers.last(where: { $0.frame == frame }) else { return inner.owner(of: frame) }
    return answer.owner
  }

  /// The owner that there is now.
  func currentOwner(of frame: MachineFrame) -> DomainID? { inner.owner(of: frame) }

  public func owner(of frame: MachineFrame) -> DomainID? {
    let owner = inner.owner(of: frame)
    answers.append((frame, owner, false))
    return owner
  }

  public func retain(_ frame: MachineFrame, ownedBy domain: DomainID) -> Bool {
    let isRetained = inner.retain(frame, ownedBy: domain)
    if isRetained { references[frame, default: 0] += 1 }
    let owner = isRetained ? domain : inner.owner(of: frame)
    if !isRetained && owner == domain { refused = true }
    answers.append((frame, owner, false))
    return isRetained
  }

  public func isUnused(_ frame: MachineFrame) -> Bool {
    let isUnused = inner.isUnused(frame)
    if !isUnused { isHeld = true }
    return isUnused
  }

  public func release(_ frame: MachineFrame) {
    inner.release(frame)
    let count = references[frame, default: 0] - 1
    references[frame] = count == 0 ? nil : count
  }

  /// The grant tables hold so many references on a frame: they were put into a state.
  func restore(_ frame: MachineFrame, references count: Int) { references[frame] = count == 0 ? nil : count }

  /// The grant tables hold no references: they begin anew.
  func reset() { references.removeAll(keepingCapacity: true) }

  /// How many references the grant tables hold on a frame.
  func references(on frame: MachineFrame) -> Int { references[frame, default: 0] }

  public func transfer(_ frame: MachineFrame, from: DomainID, to: DomainID) -> Bool {
    let isDone = inner.transfer(frame, from: from, to: to)
    if isDone { answers.append((frame, to, true)) } else { refused = true }
    return isDone
  }
}
