// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// Independent pieces of work on a few threads.
public enum Workers {
  /// Terms are walked recursively, and a solver recurses too: more stack than a thread has by default.
  private static let stackBytes = 256 << 20

  /// Does `work` for every index below `count`. Each thread first makes what it needs for itself (a solver's
  /// context, say) by `prepare`. The results are in the order of the indices, whatever the threads did.
  public static func map<Context, Result: Sendable>(
    _ count: Int, threads: Int, prepare: @escaping @Sendable () -> Context,
    work: @escaping @Sendable (Context, Int) -> Result
  ) -> [Result] {
    guard count > 0 else { return [] }
    let shared = Shared<Result>(count)
    let workers = max(1, min(threads, count))
    let group = DispatchGroup()
    for _ in 0..<workers {
      group.enter()
      let thread = Thread {
        let context = prepare()
        while let index = shared.take() { shared.put(work(context, index), at: index) }
        group.leave()
      }
      thread.stackSize = stackBytes
      thread.start()
    }
    group.wait()
    return shared.results
  }

  /// What the threads share.
  private final class Shared<Result: Sendable>: Sendable {
    private let next = Atomic<Int>(0)
    private let slots: Mutex<[Result?]>
    private let count: Int

    init(_ count: Int) {
      self.count = count
      slots = Mutex([Result?](repeating: nil, count: count))
    }
    func take() -> Int? {
      let index = next.add(1, ordering: .relaxed).oldValue
      return index < count ? index : nil
    }
    func put(_ result: Result, at index: Int) { slots.withLock { $0[index] = result } }
    var results: [Result] { slots.withLock { $0.compactMap { $0 } } }
  }
}
