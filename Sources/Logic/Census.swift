// SPDX-License-Identifier: Apache-2.0

/// A count that is provably exact: how many members each owner has.
///
/// A reference count is right when it equals the number of references, and a sum over all members is what a proof
/// at real size cannot write down. A census keeps, as witnesses for the proof alone, a bijection between the
/// members of an owner and the positions 0 ..< count: `position[member]` and `holder[owner, position]`. That the two
/// invert one another is a claim about single entries, and so is proved for an arbitrary one. An exploration, which
/// can sum, checks the sum itself and does without the witnesses.
public final class Census<Owner: TableKey, Member: TableKey, CountSort: WordSort>: StateGroup {
  public typealias Count = Word<CountSort>

  /// How many members each owner has.
  @Var public var count: Table<Count, Owner>
  @Ghost(witness: true) var holder: Table<KeyValue<Member>, Joined<Owner, Count>>
  @Ghost(witness: true) var position: Table<Count, Member>

  public init() {}

  /// Whether one more member would overflow the count.
  public func isFull(_ owner: Owner) -> Bit { count[owner] == .max }

  /// Adds a member, which must not be one, to an owner that is not full.
  public func join(_ member: Member, _ owner: Owner) {
    let last = count[owner]
    position[member] = last
    holder[Joined(owner, last)] = KeyValue(member)
    count[owner] = last + 1
  }

  /// Removes a member: the last one takes its position.
  public func leave(_ member: Member, _ owner: Owner) {
    let last = count[owner] - 1
    let moved = holder[Joined(owner, last)]
    let freed = position[member]
    holder[Joined(owner, freed)] = moved
    position[moved.key] = freed
    count[owner] = last
  }

  /// That the count is exact, where `isMember` says who is a member and `owner` whose.
  public func invariants(
    _ name: String, _ rule: String? = nil, in machine: Machine, isMember: (Member) -> Bit,
    owner: (Member) -> Owner, file: StaticString = #fileID, line: UInt = #line
  ) -> [Invariant] {
    [
      machine.invariant(
        name, rule, over: Owner.self, reading: .explorationOnly, file: file, line: line
      ) { someone in
        self.count[someone] == cardinality(over: Member.self) { isMember($0) && same(owner($0), someone) }
      },
      machine.invariant(
        "\(name): each member has its position", rule, over: Member.self, reading: .proofOnly, file: file,
        line: line
      ) { member in
        isMember(member).implies(
          self.position[member] < self.count[owner(member)]
            && same(self.holder[Joined(owner(member), self.position[member])].key, member))
      },
      machine.invariant(
        "\(name): each position has its member", rule, over: Joined<Owner, Count>.self, reading: .proofOnly,
        file: file, line: line
      ) { place in
        let member = self.holder[place].key
        return (place.b < self.count[place.a]).implies(
          isMember(member) && same(owner(member), place.a) && same(self.position[member], place.b))
      },
    ]
  }
}
