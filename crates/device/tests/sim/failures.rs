//! Failures on demand.

use super::*;

/// Does every kind of call that can fail, in the order of `Call::ALL`, until one does.
fn do_all(sim: &Sim) -> Vec<Call> {
    let mut done = Vec::new();
    let mut live = (None, None, None);
    let _ = try_all(sim, &mut done, &mut live);
    let (memory, buffer, image) = live;
    for resource in [buffer, image].into_iter().flatten() {
        sim.destroy_it(resource);
    }
    if let Some(memory) = memory {
        sim.release(memory);
    }
    done
}

type Made = (Option<Memory>, Option<SimResource>, Option<SimResource>);

fn try_all(sim: &Sim, done: &mut Vec<Call>, (memory, first, second): &mut Made) -> Result {
    let block = sim.allocate(&order(1 << 17, 1))?;
    *memory = Some(block);
    done.push(Call::Allocate);
    sim.map_it(block)?;
    done.push(Call::Map);
    sim.flush_it(block, 0..64)?;
    done.push(Call::Flush);
    sim.invalidate_it(block, 0..64)?;
    done.push(Call::Invalidate);
    sim.budgets().ok_or(DeviceError::Lost)?;
    done.push(Call::Budgets);
    let buffer = Resource::Buffer(sim.create_buffer(&BufferInfo::default())?);
    *first = Some(buffer);
    done.push(Call::CreateBuffer);
    *second = Some(Resource::Image(sim.create_image(&SMALL_IMAGE)?));
    done.push(Call::CreateImage);
    sim.bind_it(buffer, block, 0)?;
    done.push(Call::Bind);
    sim.write(buffer, 0, &[1])?;
    done.push(Call::Work);
    Ok(())
}

fn fallible() -> Vec<Call> {
    Call::ALL.into_iter().filter(|call| call.usual_error().is_some()).collect()
}

#[test]
fn the_nth_call_of_any_kind_fails_once_and_changes_nothing() {
    let sim = sim();
    let all = fallible();
    for n in 1..=all.len() {
        sim.fail_any(n as u64);
        assert_eq!(do_all(&sim), all[..n - 1]);
        assert_eq!(sim.pending_failures(), 0);
        assert_eq!((sim.live(), sim.held(0)), (Live::default(), 0));
        assert_eq!(do_all(&sim), all, "a failure strikes once");
    }
    assert_eq!(sim.violations(), []);
}

#[test]
fn the_nth_call_of_one_function_fails_with_the_error_that_was_said() {
    let sim = sim();
    let all = fallible();
    for (place, &call) in all.iter().enumerate() {
        sim.fail(call, 2, DeviceError::Other { code: -13 });
        assert_eq!(do_all(&sim), all, "the first call of {call} goes well");
        assert_eq!(do_all(&sim), all[..place], "the second call of {call} fails");
        assert_eq!(do_all(&sim), all);
    }
    sim.fail(Call::Allocate, 1, DeviceError::Lost);
    assert_eq!(sim.allocate(&order(64, 0)), Err(DeviceError::Lost));
}

#[test]
fn failures_can_be_forgotten_and_calls_are_counted() {
    let sim = sim();
    sim.fail_any(1);
    sim.fail(Call::Map, 1, DeviceError::Lost);
    assert_eq!(sim.pending_failures(), 2);
    sim.clear_failures();
    assert_eq!(do_all(&sim), fallible());
    for call in Call::ALL {
        let expected = match call {
            Call::Destroy => 2,
            Call::Unmap | Call::Requirements => 0,
            _ => 1,
        };
        assert_eq!(sim.calls(call), expected, "{call}");
    }
}

#[test]
#[should_panic(expected = "a call that fails is one that can")]
fn a_call_without_result_does_not_fail() {
    sim().fail(Call::Free, 1, DeviceError::Lost);
}
