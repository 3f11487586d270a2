//! The presets against what drivers answered.

use super::*;
use serde_json::Value;

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("{name} is a number"))
}

fn flag(value: &Value, name: &str) -> bool {
    value[name].as_bool().unwrap_or_else(|| panic!("{name} is a flag"))
}

fn heaps(value: &Value) -> Vec<Heap> {
    let heaps = value["heaps"].as_array().unwrap().iter();
    heaps
        .map(|heap| Heap { size: number(heap, "size"), device_local: flag(heap, "device_local") })
        .collect()
}

fn memory_types(value: &Value) -> Vec<MemoryType> {
    let types = value["memory_types"].as_array().unwrap().iter();
    types
        .map(|kind| {
            let names = kind["properties"].as_array().unwrap().iter();
            let bits = names.map(|name| {
                let name = name.as_str().unwrap().to_uppercase();
                MemoryProperties::from_name(&name).unwrap_or_else(|| panic!("{name}"))
            });
            let heap = u32::try_from(number(kind, "heap")).unwrap();
            MemoryType { properties: bits.collect(), heap }
        })
        .collect()
}

fn limits(value: &Value) -> Limits {
    Limits {
        granularity: number(value, "buffer_image_granularity"),
        non_coherent_atom_size: number(value, "non_coherent_atom_size"),
        block_count_max: number(value, "max_memory_allocation_count"),
        block_size_max: number(value, "max_memory_allocation_size"),
        map_align_min: number(value, "min_memory_map_alignment"),
    }
}

#[test]
fn presets_are_what_drivers_answered() {
    let recorded: Value = serde_json::from_str(include_str!("../data/devices.json")).unwrap();
    let recorded = recorded.as_object().unwrap();
    assert_eq!(recorded.len(), Preset::ALL.len(), "each recorded device is a preset");
    for preset in Preset::ALL {
        let value = &recorded[preset.name()];
        let sim = Sim::preset(preset);
        let Layout { properties, driver, api, resources, .. } = sim.layout();
        let kind: DeviceKind = serde_json::from_value(value["type"].clone()).unwrap();
        assert_eq!(value["device"], *properties.name);
        assert_eq!(value["driver"], **driver);
        assert_eq!(value["api"], **api);
        assert_eq!(kind, properties.kind, "{preset}");
        assert_eq!(heaps(value), properties.heaps, "{preset}");
        assert_eq!(memory_types(value), properties.memory_types, "{preset}");
        assert_eq!(limits(value), properties.limits, "{preset}");
        let aligns = [
            ("optimal_buffer_copy_offset_alignment", resources.copy_offset_align),
            ("min_uniform_buffer_offset_alignment", resources.uniform_align_min),
            ("min_storage_buffer_offset_alignment", resources.storage_align_min),
        ];
        for (name, align) in aligns {
            assert_eq!(number(value, name), align, "{preset}: {name}");
        }
        let layout = sim.layout();
        assert_eq!(flag(value, "sparse_binding"), layout.sparse_binding, "{preset}");
        assert_eq!(flag(value, "memory_budget"), layout.memory_budget, "{preset}");
        assert_eq!(flag(value, "memory_priority"), layout.memory_priority, "{preset}");
        // device, driver, type, api, heaps, memory_types, five limits, three aligns, three flags
        assert_eq!(value.as_object().unwrap().len(), 17, "{preset}: no other field");
        assert_eq!(sim.budgets().is_some(), layout.memory_budget, "{preset}");
    }
}

#[test]
fn names_choose_presets_and_a_wrong_one_lists_them() {
    for preset in Preset::ALL {
        assert_eq!(preset.name().parse(), Ok(preset));
    }
    let error = "voodoo".parse::<Preset>().unwrap_err().to_string();
    assert!(error.contains("\"voodoo\""), "{error}");
    for preset in Preset::ALL {
        assert!(error.contains(preset.name()), "{error}");
    }
}
