// SPDX-License-Identifier: Apache-2.0

import Checker
import Logic
import Testing

/// What two engines are to find in a bakery; a false claim may be among it.
private func verify(_ machine: @escaping @Sendable () -> Machine, shard: Shard? = nil) throws
  -> Verifier.Result
{
  var verifier = Verifier()
  verifier.shard = shard
  let subject = Subject("Bakery", scopes: [.small], mutants: [], make: machine)
  return try #require(try verifier.verify([subject]).first)
}

private func shards(of count: Int) throws -> [Shard] {
  try (1...count).map { try #require(Shard($0, of: count)) }
}

@Suite("Shards") struct ShardTests {
  @Test("are written as a number and a count") func text() {
    #expect(Shard("2/8") == Shard(2, of: 8))
    #expect(Shard("8/8")?.description == "8/8")
    for wrong in ["0/8", "9/8", "1/0", "-1/8", "1", "1/", "/8", "1/8/2", "a/b", ""] {
      #expect(Shard(wrong) == nil, "\(wrong)")
    }
  }

  @Test("have no obligation in common, and together all", arguments: [1, 2, 3, 7]) func partition(count: Int)
    throws
  {
    let whole = try verify { Bakery() }
    let parts = try shards(of: count).map { try verify({ Bakery() }, shard: $0) }
    let titles = parts.flatMap { $0.obligations.map(\.title) }
    #expect(titles.count == Set(titles).count, "an obligation is in two shards")
    #expect(Set(titles) == Set(whole.obligations.map(\.title)))
    let shares = try parts.map { try #require($0.verification.share) }
    #expect(shares.reduce(0) { $0 + $1.obligations } == whole.obligations.count)
    #expect(shares.allSatisfy { $0.ofObligations == whole.obligations.count && $0.ofExplorations == 1 })
    #expect(shares.reduce(0) { $0 + $1.explorations } == 1)
    #expect(Set(shares.map(\.whole)).count == 1)
    #expect(parts.allSatisfy { $0.verification.canaryFound && $0.certificate == nil })
  }

  @Test("are the same whenever they are cut, and others for another machine") func deterministic() throws {
    let shard = Shard(1, of: 2)
    let first = try verify({ Bakery() }, shard: shard)
    let second = try verify({ Bakery() }, shard: shard)
    #expect(first.obligations.map(\.hash) == second.obligations.map(\.hash))
    let other = try verify({ OpenBakery() }, shard: shard)
    #expect(first.verification.share?.whole != other.verification.share?.whole)
  }

  /// Which shards of so many say that something does not hold.
  private func complaining(_ parts: [Verifier.Result]) -> Set<Int> {
    Set(parts.filter { !$0.verification.holds }.compactMap { $0.verification.share?.shard.number })
  }

  @Test(
    "a false claim is found by the shards that have an obligation of it that fails, or its exploration, and no other"
  )
  func falseClaim() throws {
    let count = 5
    let whole = try verify { FalseBakery() }
    let theorem = try #require(whole.verification.theorems.first { $0.invariant == FalseBakery.claim })
    #expect(theorem.method == .violated)
    let failing = Set(theorem.unproved.map(\.title))
    #expect(failing.count == 1, "one step breaks it")
    let parts = try shards(of: count).map { try verify({ FalseBakery() }, shard: $0) }
    let byProof = Set(
      parts.filter { $0.obligations.contains { failing.contains($0.title) } }
        .compactMap { $0.verification.share?.shard.number })
    let byExploration = Set(
      parts.compactMap { $0.verification.share }.filter { $0.explorations > 0 }.map(\.shard.number))
    #expect(byProof.count == 1 && byExploration.count == 1)
    #expect(complaining(parts) == byProof.union(byExploration))
    for part in parts where !part.verification.holds {
      #expect(!part.verification.findings().isEmpty)
    }
  }

  @Test("where all holds at real size, every shard says so of its part") func holds() throws {
    for part in try shards(of: 3).map({ try verify({ SteadyBakery() }, shard: $0) }) {
      #expect(part.verification.holds)
      #expect(part.verification.theorems.allSatisfy { $0.method == .part })
      #expect(part.verification.findings().isEmpty)
    }
  }
}

/// Claims that are proved by one step each.
private class SteadyBakery: Bakery {
  override var rules: [Rule] { [Rule("R1", "Who enters has the ticket that is called.", by: "enter")] }
  override var invariants: [Invariant] {
    [
      invariant("a step is one") { self.step == 1 },
      invariant("who is outside has no ticket") { (a: Actor) in
        (self.places[a].phase == .idle).implies(self.places[a].ticket == 0)
      },
    ]
  }
}

/// One claim more, that `enter` alone breaks.
private final class FalseBakery: SteadyBakery {
  static let claim = "nobody is ever inside"
  override var invariants: [Invariant] {
    super.invariants + [invariant(Self.claim) { (a: Actor) in self.places[a].phase != .inside }]
  }
}
