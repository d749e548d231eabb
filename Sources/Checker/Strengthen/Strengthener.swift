// SPDX-License-Identifier: Apache-2.0

import Logic

/// Looks for what is to be added to invariants to make them inductive, by property-directed reachability (Bradley's IC3
/// as Eén, Mishchenko and Brayton have it): sets of states that a few steps may reach are made smaller, one set of
/// unreachable states at a time, until one step more adds nothing.
///
/// It asks about a scope at which everything is written out. What it finds is inductive there; that it is so at real size
/// is another question, for `Prover`, once somebody has written it as invariants.
public final class Strengthener {
  public enum Outcome: Sendable {
    case found(Strengthening)
    /// A run of so many steps, or fewer, breaks an invariant.
    case violated(steps: Int)
    case unknown(String)
    case cancelled
  }

  private let problem: StepProblem
  private let renamings: Renamings
  private let specification: Specification
  private let scope: Scope
  /// By level: cubes excluded from the states that so many steps reach, and not known to be from more.
  private var excluded: [[Cube]] = [[], []]
  private var top: Int { excluded.count - 1 }

  /// - Parameter invariants: what is to be shown, by indices into the specification's.
  /// - Throws: if something at this scope ranges over too much to be written out.
  public init(_ specification: Specification, scope: Scope, invariants: [Int]) throws(SpecificationError) {
    self.specification = specification
    self.scope = scope
    problem = try StepProblem(specification, scope: scope, invariants: invariants)
    renamings = Renamings(problem.layout)
  }

  private struct Stopped: Error {}
  private var isCancelled: () -> Bool = { false }

  /// - Parameters:
  ///   - progress: called as often as something is learnt: cubes excluded so far, steps looked at.
  ///   - isCancelled: asked as often.
  public func run(
    progress: @escaping (_ cubes: Int, _ steps: Int) -> Void = { _, _ in },
    isCancelled: @escaping () -> Bool = { false }
  ) -> Outcome {
    self.isCancelled = {
      progress(self.excluded.reduce(0) { $0 + $1.count }, self.top)
      return isCancelled()
    }
    let start = ContinuousClock.now
    do {
      if try problem.broken(at: 0) != nil { return .violated(steps: 0) }
      while true {
        while let cube = try problem.broken(at: top) {
          if let steps = try block(cube, at: top) { return .violated(steps: steps) }
        }
        excluded.append([])
        guard let found = try propagate() else { continue }
        let families = try reduced(found)
        guard try problem.isInductive(excluding: families.flatMap { $0 }) else {
          return .unknown("what was found is not inductive")
        }
        return .found(
          Strengthening(
            families, by: problem, of: specification, scope: scope, levels: top,
            seconds: (ContinuousClock.now - start) / .seconds(1)))
      }
    } catch let error as StepProblem.Unanswered {
      return .unknown(error.reason)
    } catch {
      return .cancelled
    }
  }

  // MARK: Excluding states

  /// Excludes a cube, and all that leads there.
  /// - Returns: nil; or how many steps at most lead to a broken invariant.
  private func block(_ cube: Cube, at level: Int) throws -> Int? {
    var open = [(cube: cube, level: level, distance: 0)]
    while let next = open.indices.min(by: { open[$0].level < open[$1].level }) {
      if isCancelled() { throw Stopped() }
      let (cube, level, distance) = open[next]
      if isExcluded(cube, at: level) {
        open.remove(at: next)
        continue
      }
      switch try problem.origin(of: cube, at: level - 1, upTo: top) {
      case .from(let origin):
        if try problem.isInitial(origin) { return distance + level }
        open.append((origin, level - 1, distance + 1))
      case .nowhere(let core):
        open.remove(at: next)
        let larger = try generalised(core, of: cube, at: level)
        var highest = level
        while highest < top, case .nowhere = try problem.origin(of: larger, at: highest, upTo: top) {
          highest += 1
        }
        for image in renamings.images(of: larger) { exclude(image, upTo: highest) }
        if highest < top { open.append((cube, highest + 1, distance)) }
      }
    }
    return nil
  }

  private func isExcluded(_ cube: Cube, at level: Int) -> Bool {
    excluded[level...].contains { $0.contains { $0.contains(cube) } }
  }

  private func exclude(_ cube: Cube, upTo level: Int) {
    for lower in 1...level { excluded[lower].removeAll { cube.contains($0) } }
    excluded[level].append(cube)
    problem.exclude(cube, upTo: level)
  }

  /// As large a cube as is not reached either, and has no initial state.
  private func generalised(_ core: Cube, of cube: Cube, at level: Int) throws -> Cube {
    var best = core
    for fact in cube.facts where !core.facts.contains(fact) {
      if try !problem.isInitial(best) { break }
      best = Cube(best.facts + [fact])
    }
    for fact in best.facts where best.facts.count > 1 && best.facts.contains(fact) {
      if isCancelled() { throw Stopped() }
      let candidate = best.without(fact)
      if try problem.isInitial(candidate) { continue }
      guard case .nowhere(let smaller) = try problem.origin(of: candidate, at: level - 1, upTo: top) else {
        continue
      }
      best = try problem.isInitial(smaller) ? candidate : smaller
    }
    return best
  }

  /// Carries what is excluded on to more steps, where it still is.
  /// - Returns: cubes that are excluded for good, once one step more adds nothing.
  private func propagate() throws -> [Cube]? {
    for level in 1..<top {
      for cube in excluded[level] {
        if isCancelled() { throw Stopped() }
        guard excluded[level].contains(cube),
          case .nowhere = try problem.origin(of: cube, at: level, upTo: top)
        else { continue }
        exclude(cube, upTo: level + 1)
      }
      if excluded[level].isEmpty { return Array(excluded[(level + 1)...].joined()) }
    }
    return nil
  }

  /// Without what the rest does not need.
  private func reduced(_ cubes: [Cube]) throws -> [[Cube]] {
    var families = renamings.families(of: cubes)
    guard families.count <= Self.mostReduced else { return families }
    for family in families {
      if isCancelled() { throw Stopped() }
      let rest = families.filter { $0 != family }
      if try problem.isInductive(excluding: rest.flatMap { $0 }) { families = rest }
    }
    return families
  }

  private static let mostReduced = 200
}
