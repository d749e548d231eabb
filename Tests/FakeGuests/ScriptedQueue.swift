// SPDX-License-Identifier: Apache-2.0

@testable import Devices

/// A disk that does what it is told when a script says so, and in its order: one thread, and the same each time.
///
/// What it does it does at once, between two steps of everybody else.
final class ScriptedQueue: BlockQueue, @unchecked Sendable {
  let image: DiskImage
  private unowned let witness: BlockWitness
  private var waiting: [(operation: DiskOperation, tag: Int)] = []
  private var done: [(tag: Int, isDone: Bool)] = []
  /// Whether what was submitted waits for `finish`, and is not done as soon as somebody asks.
  var isSlow = false

  init(_ image: DiskImage, _ witness: BlockWitness) {
    self.image = image
    self.witness = witness
  }

  var storage: any BlockStorage { image }
  /// There is nothing to wait for.
  var descriptor: Int32 { -1 }
  var ring: Int32? { nil }
  /// Whether nothing is under way.
  var isIdle: Bool { waiting.isEmpty && done.isEmpty }

  func submit(_ operation: DiskOperation, tag: Int) {
    witness.begin(operation, tag: tag)
    waiting.append((operation, tag))
  }

  func start() { witness.meddle() }

  func takeDone() -> (tag: Int, isDone: Bool)? {
    witness.meddle()
    if !isSlow { finish(0) }
    return done.isEmpty ? nil : done.removeFirst()
  }

  func wait() { finish(0) }

  /// Does one of those that wait, counted from the oldest on, around and around.
  func finish(_ number: Int) {
    guard !waiting.isEmpty else { return }
    let (operation, tag) = waiting.remove(at: number % waiting.count)
    let isDone = operation.carryOut(on: image)
    witness.carriedOut(tag: tag, isDone: isDone)
    done.append((tag, isDone))
  }
}
