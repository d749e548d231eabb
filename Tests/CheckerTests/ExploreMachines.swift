// SPDX-License-Identifier: Apache-2.0

import Logic

enum ActorSort: IdentitySort {
  static let sort = Sort.identity("Actor", realBits: 8, scopeCount: 3)
}
typealias Actor = ID<ActorSort>

enum TicketSort: WordSort {
  static let sort = Sort.word("Ticket", realBits: 16, scopeBits: 3)
}
typealias Ticket = Word<TicketSort>

enum Phase: ChoiceSort { case idle, waiting, inside }

struct Place: Record {
  var phase = Choice(Phase.idle)
  var ticket = Ticket(0)
  static var fields: [Field<Place>] { [Field(\.phase), Field(\.ticket)] }
}

/// A queue of actors before a door: whoever comes draws a ticket, and enters when the ticket is called.
class Bakery: Machine {
  @Var var places: Table<Place, Actor>
  @Var var next: Ticket
  @Var var called: Ticket
  /// No action changes it: it is no part of a packed state.
  @Var var step: Ticket = 1

  func draw(actor: Actor) {
    require(places[actor].phase == .idle)
    places[actor].phase = Choice(.waiting)
    places[actor].ticket = next
    next += step
  }
  func enter(actor: Actor) -> Choice<Phase> {
    require(places[actor].phase == .waiting)
    require(places[actor].ticket == called, "R1")
    places[actor].phase = Choice(.inside)
    return places[actor].phase
  }
  func leave(actor: Actor) {
    require(places[actor].phase == .inside)
    places[actor] = Place()
    called += step
  }

  override var name: String { "Bakery" }
  override var actions: [Action] {
    [action("draw(actor:)", draw), action("enter(actor:)", enter), action("leave(actor:)", leave)]
  }
  override var invariants: [Invariant] {
    [
      invariant("one at a time", "R1") { (a: Actor, b: Actor) in
        (self.places[a].phase == .inside && self.places[b].phase == .inside).implies(a == b)
      },
      invariant("tickets run ahead") { (a: Actor) in
        (self.places[a].phase != .idle).implies(self.places[a].ticket - self.called < self.next - self.called)
      },
      invariant("as many tickets as people", reading: .explorationOnly) {
        self.next - self.called == cardinality { (a: Actor) in self.places[a].phase != .idle }
      },
    ]
  }
  override var witnesses: [Witness] {
    [
      sometimes("somebody waits behind somebody") { (a: Actor, b: Actor) in
        self.places[a].phase == .inside && self.places[b].phase == .waiting
      }
    ]
  }
  override var rules: [Rule] { [Rule("R1", "One actor is inside at a time.", by: "one at a time")] }
}

/// A bakery whose door is open.
final class OpenBakery: Bakery {
  override func enter(actor: Actor) -> Choice<Phase> {
    require(places[actor].phase == .waiting)
    places[actor].phase = Choice(.inside)
    return places[actor].phase
  }
}

/// A bakery with a claim that is false: the alarm must ring.
final class Canary: Bakery {
  override var invariants: [Invariant] {
    super.invariants + [invariant("nobody is ever inside") { (a: Actor) in self.places[a].phase != .inside }]
  }
}

/// Constants that may be anything, of which something is assumed; bulk updates; stores at computed keys; a deadlock.
final class Tangle: Machine {
  @Var(anyOf: Table<Bit, Actor>.self) var blessed: Table<Bit, Actor>
  @Var(anyOf: Ticket.self) var limit: Ticket
  @Var var marks: Table<Ticket, Actor>
  @Var var pointer: Actor
  @Var var order: Table<Actor, Ticket>
  @Var var moves: Ticket

  func point(to actor: Actor) {
    require(moves < limit && actor != pointer)
    order[moves] = actor
    pointer = actor
    moves += 1
  }
  func mark() {
    require(moves < limit)
    when(blessed[pointer]) {
      marks[pointer] += 2
      marks[order[moves - 1]] += 1
    } else: {
      marks.update { actor, old in choose(blessed[actor], old + 1, choose(old == 0, old, old - 1)) }
    }
    moves += 1
  }

  override var actions: [Action] { [action("point(to:)", point), action("mark()", mark)] }
  override var assumptions: [Invariant] {
    [
      assume("limited") { self.limit < 5 && self.limit > 2 },
      assume("not all are blessed") { (a: Actor, b: Actor) in
        (a == b) || !(self.blessed[a] && self.blessed[b])
      },
    ]
  }
  override var invariants: [Invariant] {
    [invariant("few marks") { (a: Actor) in self.marks[a] < 7 || self.moves > 3 }]
  }
  override var witnesses: [Witness] { [sometimes("never") { self.moves == 7 }] }
}
