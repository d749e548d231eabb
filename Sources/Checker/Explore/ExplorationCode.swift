// SPDX-License-Identifier: Apache-2.0

import Logic

/// The code that an exploration runs on each state: successors, invariants, witnesses.
struct ExplorationCode {
  let packed: PackedLayout
  let instances: [ActionInstance]
  /// Nil: every possible instance is taken.
  let redundancy: Redundancy?
  /// The invariants checked, by index into the specification's.
  let invariants: [Int]
  let code: [Instruction]
  let constants: [UInt64]
  let registerCount: Int
  /// Where the code of all successors begins.
  let successors: Int
  /// Where the invariants' code begins: it answers 0, or 1 + the index of one that fails.
  let claims: Int
  /// Where each witness's code begins: it answers 1 if the witness holds.
  let witnesses: [Int]
  /// Answers 1 where all assumptions hold.
  let assumptions: Int

  /// - Parameter symmetry: nil if every possible instance is to be taken.
  init(_ packed: PackedLayout, leavingOut symmetry: Symmetry?) {
    self.packed = packed
    let layout = packed.layout
    let specification = layout.specification
    let elaborator = Elaborator(specification, scope: layout.scope)
    let compiler = TermCompiler(elaborator, layout, reserved: 0)
    let before = ExploredState(elaborator, packed)
    let plans = specification.actions.indices.flatMap { action in
      InstancePlan.instances(of: action, in: specification, layout.scope).compactMap {
        InstancePlan($0, elaborator, before)
      }
    }
    instances = plans.map(\.instance)
    redundancy = symmetry.map {
      Redundancy(plans, elaborator, layout, renamed: $0.renamed(plans.map(\.instance), in: specification))
    }
    invariants = specification.invariants.indices.filter {
      specification.invariants[$0].reading != .proofOnly
    }
    let tree = DecisionTree(compiler: compiler)

    successors = 0
    SuccessorCompilation(
      packed: packed, compiler: compiler, tree: tree, before: before, asksRedundant: redundancy != nil
    ).compile(plans)
    compiler.append(Instruction(operation: .end, c: 0))

    let reading = Evaluation(elaborator, state: before)
    claims = compiler.code.count
    tree.compile(
      invariants.flatMap { index in
        Self.failures(of: specification.invariants[index], reading, elaborator).map { conditions in
          DecisionTree.Item(conditions: conditions) { _ in
            compiler.append(Instruction(operation: .end, c: Int32(index + 1)))
          }
        }
      })
    compiler.append(Instruction(operation: .end, c: 0))

    witnesses = specification.witnesses.map { witness in
      let start = compiler.code.count
      let cases = elaborator.tuples(of: witness.bound.map(\.sort)).map {
        elaborator.conjuncts(of: reading.binding(witness.bound, to: $0).value(of: witness.body))
      }
      tree.compile(
        cases.map { conditions in
          DecisionTree.Item(conditions: conditions) { _ in
            compiler.append(Instruction(operation: .end, c: 1))
          }
        })
      compiler.append(Instruction(operation: .end, c: 0))
      return start
    }

    assumptions = compiler.code.count
    tree.compile(
      specification.assumptions.flatMap { Self.failures(of: $0, reading, elaborator) }.map { conditions in
        DecisionTree.Item(conditions: conditions) { _ in
          compiler.append(Instruction(operation: .end, c: 0))
        }
      })
    compiler.append(Instruction(operation: .end, c: 1))

    code = compiler.code
    constants = compiler.constants
    registerCount = compiler.registerCount
  }

  /// The ways in which a claim can fail, each a list of conditions.
  private static func failures(of claim: Invariant, _ reading: Evaluation, _ elaborator: Elaborator)
    -> [[TermID]]
  {
    let instances = elaborator.tuples(of: claim.bound.map(\.sort)).map { reading.instance(of: claim, at: $0) }
    return Set(instances.flatMap(elaborator.conjuncts)).sorted { $0.index < $1.index }.map {
      elaborator.conjuncts(of: elaborator.not($0))
    }
  }

  /// An exploration writes out every tuple of arguments and indices.
  static func checkSizes(_ layout: StateLayout) throws(SpecificationError) {
    let specification = layout.specification
    func check(_ sorts: [Sort], _ what: String) throws(SpecificationError) {
      var product = 1
      for sort in sorts {
        let count = layout.scope.count(of: sort)
        guard count != 0, count <= 1 << 20, product <= (1 << 20) / Int(count) else {
          throw SpecificationError(
            "\(specification.name): \(what) ranges over more than 2²⁰ values at scope \(layout.scope.name); "
              + "give \(sort.name) a smaller count")
        }
        product *= Int(count)
      }
    }
    guard layout.count <= 1 << 16 else {
      throw SpecificationError(
        "\(specification.name): a state has \(layout.count) scalars, too many to explore")
    }
    for action in specification.actions {
      try check(action.parameters.map(\.sort), "action \(action.name)")
    }
    for claim in specification.invariants where claim.reading != .proofOnly {
      try check(claim.bound.map(\.sort), "invariant \"\(claim.name)\"")
    }
    for witness in specification.witnesses {
      try check(witness.bound.map(\.sort), "witness \"\(witness.name)\"")
    }
  }
}
