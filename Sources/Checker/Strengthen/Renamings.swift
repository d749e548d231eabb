// SPDX-License-Identifier: Apache-2.0

import Logic

/// The exchanges of names that change nothing, as they act on cubes: what cannot be reached cannot be reached under other
/// names either.
struct Renamings {
  /// For each exchange: where each cell goes, and what each value of a sort becomes.
  private let exchanges: [(cells: [Int], values: [String: [UInt64]])]
  /// By cell.
  private let sorts: [Sort]

  init(_ layout: StateLayout) {
    let components = layout.specification.components
    sorts = (0..<layout.count).map { components[layout.owner(of: $0).component].sort }
    exchanges = Symmetry.interchangeable(layout).flatMap { sort, names in
      zip(names, names.dropFirst()).map { a, b in
        var values = Array(0..<layout.scope.count(of: sort))
        values.swapAt(Int(a), Int(b))
        let targets = (0..<layout.count).map { register in
          let (component, keys) = layout.owner(of: register)
          let renamed = zip(components[component].keys, keys).map {
            $0.name == sort.name ? values[Int($1)] : $1
          }
          return layout.register(component, renamed) ?? register
        }
        return (targets, [sort.name: values])
      }
    }
  }

  /// A cube under all names, itself first.
  func images(of cube: Cube) -> [Cube] {
    var known: Set<Cube> = [cube]
    var images = [cube]
    var next = 0
    while next < images.count {
      for exchange in exchanges {
        let image = Cube(
          images[next].facts.map { fact in
            let values = exchange.values[sorts[fact.cell].name]
            return Cube.Fact(
              cell: exchange.cells[fact.cell], value: values.map { $0[Int(fact.value)] } ?? fact.value)
          })
        if known.insert(image).inserted { images.append(image) }
      }
      next += 1
    }
    return images
  }

  /// Cubes that differ by names alone, together.
  func families(of cubes: [Cube]) -> [[Cube]] {
    var rest = Set(cubes)
    return cubes.compactMap { cube in
      guard rest.contains(cube) else { return nil }
      let family = images(of: cube)
      rest.subtract(family)
      return family
    }
  }
}
