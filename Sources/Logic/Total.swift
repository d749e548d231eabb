// SPDX-License-Identifier: Apache-2.0

/// A sum that is provably exact: of one number for each key.
///
/// As with `Census`, a sum over all keys is what a proof at real size cannot write down. A total keeps, as witness for
/// the proof alone, the sums of the numbers *through* each key: that each is its predecessor's and one number more is a
/// claim about two neighbours, and so is proved for arbitrary ones; the last is the sum. That they never descend shows
/// that nothing wraps. An exploration, which can count, checks the sum itself.
public final class Total<KeySort: WordSort, SumSort: WordSort>: StateGroup {
  public typealias Key = Word<KeySort>
  public typealias Sum = Word<SumSort>

  /// The sum of all numbers.
  @Var public var sum: Sum
  @Ghost(witness: true) var through: Table<Sum, Key>

  public init() {}

  /// A key's number grows; all together stay within what the sort holds.
  public func add(_ amount: Sum, to key: Key) {
    sum += amount
    through.update { (k: Key, old) in choose(key <= k, old + amount, old) }
  }

  /// A key's number becomes smaller, by no more than it is.
  public func subtract(_ amount: Sum, from key: Key) {
    sum -= amount
    through.update { (k: Key, old) in choose(key <= k, old - amount, old) }
  }

  /// That the sum is exact, where `number` is a key's.
  public func invariants(
    _ name: String, _ rule: String? = nil, in machine: Machine, number: (Key) -> Sum,
    file: StaticString = #fileID, line: UInt = #line
  ) -> [Invariant] {
    [
      machine.invariant(name, rule, reading: .explorationOnly, file: file, line: line) {
        self.sum == cardinality(over: Pair<Key, Sum>.self) { $0.b < number($0.a) }
      },
      machine.invariant(
        "\(name): each through its key", rule, reading: .proofOnly, file: file, line: line
      ) { (key: Key) in
        self.through[key] == choose(key == 0, number(key), self.through[key - 1] + number(key))
      },
      machine.invariant(
        "\(name): none descends", rule, reading: .proofOnly, file: file, line: line
      ) { (a: Key, b: Key) in (a <= b).implies(self.through[a] <= self.through[b]) },
      machine.invariant("\(name): the last is the sum", rule, reading: .proofOnly, file: file, line: line) {
        self.through[.max] == self.sum
      },
      machine.invariant(
        "\(name): nothing wraps", rule, reading: .proofOnly, file: file, line: line
      ) { (key: Key) in number(key) <= self.through[key] && self.through[key] <= self.sum },
    ]
  }
}
