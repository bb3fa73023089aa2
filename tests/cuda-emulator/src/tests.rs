//! The emulator alone: kernels in PTX, streams and graphs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::device::{CAPTURE_UNSUPPORTED, Device};
use crate::ptx::{Launch, Module, run};

/// Each thread adds its neighbour's value, by shared memory and a barrier, and then all lanes of
/// the warp, by shuffles; values from beyond the end count as 0.
const SUMS: &str = r#"
.version 9.0
.target sm_90
.address_size 64
.visible .entry sums(
    .param .u64 sums_param_0,
    .param .u32 sums_param_1
)
{
    .reg .pred %p<4>;
    .reg .f32 %f<8>;
    .reg .b32 %r<8>;
    .reg .b64 %rd<5>;
    .shared .align 4 .b8 part[256];

    ld.param.u64 %rd1, [sums_param_0];
    ld.param.u32 %r1, [sums_param_1];
    mov.u32 %r2, %tid.x;
    cvta.to.global.u64 %rd2, %rd1;
    mul.wide.u32 %rd3, %r2, 4;
    add.s64 %rd4, %rd2, %rd3;
    mov.f32 %f1, 0f00000000;
    setp.ge.u32 %p1, %r2, %r1;
    @%p1 bra $L__BB0_1;
    ld.global.f32 %f1, [%rd4];
$L__BB0_1:
    mov.u32 %r3, part;
    shl.b32 %r4, %r2, 2;
    add.s32 %r5, %r3, %r4;
    st.shared.f32 [%r5], %f1;
    bar.sync 0;
    setp.eq.u32 %p2, %r2, 63;
    @%p2 bra $L__BB0_2;
    ld.shared.f32 %f2, [%r5+4];
    add.f32 %f1, %f1, %f2;
$L__BB0_2:
    mov.b32 %r6, %f1;
    shfl.sync.bfly.b32 %r7|%p3, %r6, 16, 31, -1;
    mov.b32 %f3, %r7;
    add.rn.f32 %f4, %f1, %f3;
    @!%p1 st.global.f32 [%rd4], %f4;
    ret;
}
"#;

#[test]
fn barriers_and_shuffles_bring_other_threads_values() {
    let mut module = Module::new(SUMS);
    let kernel = module.kernel("sums").expect("it is there");
    assert!(module.kernel("sum").is_err());
    assert_eq!(kernel.parameters, [(0, 8), (8, 4)]);
    let mut values: Vec<f32> = (0..60u8).map(f32::from).collect();
    let before = |i: usize| if i < 60 { i as f32 } else { 0.0 };
    let pair = |i: usize| before(i) + if i == 63 { 0.0 } else { before(i + 1) };
    let wanted: Vec<f32> = (0..60).map(|i| pair(i) + pair(i ^ 16)).collect();
    let at = values.as_mut_ptr() as usize;
    let launch = Launch {
        blocks: [1, 1, 1],
        threads: [64, 1, 1],
        shared: 0,
        parameters: &[at as u64, 60],
        memory: &[(at, at + 240)],
    };
    run(&kernel, &launch);
    assert_eq!(values, wanted);
}

/// A piece of work that counts how often it was done.
fn counted() -> (Arc<AtomicU32>, impl Fn(&mut Device) + Send + Sync + 'static) {
    let count = Arc::new(AtomicU32::new(0));
    let counter = count.clone();
    (count, move |_: &mut Device| {
        counter.fetch_add(1, Ordering::Relaxed);
    })
}

#[test]
fn work_is_done_no_earlier_than_it_must() -> Result<(), i32> {
    let mut device = Device::default();
    let (a, b) = ((10, None), (11, None));
    let (done, work) = counted();
    device.enqueue(a, work);
    device.record(1, a)?;
    device.wait(b, 1)?;
    device.synchronise_event(2);
    assert_eq!(done.load(Ordering::Relaxed), 0);
    assert!(!device.is_over(1));
    // The other stream waits for this one.
    device.synchronise(b);
    assert_eq!(done.load(Ordering::Relaxed), 1);
    assert!(device.is_over(1));
    Ok(())
}

#[test]
fn a_graph_does_its_work_and_owns_its_memory_each_time_it_is_launched() -> Result<(), i32> {
    let mut device = Device::default();
    let stream = (10, None);
    device.begin_capture(stream, true)?;
    let (done, work) = counted();
    let memory = device.allocate(8, Some(stream))?;
    device.enqueue(stream, work);
    device.free_later(memory, stream)?;
    let graph = device.end_capture(stream)?;
    device.synchronise(stream);
    assert_eq!((done.load(Ordering::Relaxed), device.memory().len()), (0, 0));
    for _ in 0..3 {
        device.launch_graph(graph, stream)?;
    }
    device.synchronise(stream);
    assert_eq!((done.load(Ordering::Relaxed), device.memory().len()), (3, 0));
    Ok(())
}

#[test]
fn what_must_not_be_in_a_graph_spoils_it() -> Result<(), i32> {
    let mut device = Device::default();
    let stream = (10, None);
    let memory = device.allocate(8, Some(stream))?;
    device.begin_capture(stream, true)?;
    assert_eq!(device.free_later(memory, stream), Err(CAPTURE_UNSUPPORTED));
    // From then on nothing is taken.
    assert!(device.allocate(8, Some(stream)).is_err());
    assert!(device.end_capture(stream).is_err());
    assert!(device.allocate(0, Some(stream)).is_err());
    device.begin_capture(stream, true)?;
    assert_eq!(device.refuse_in_capture(), Err(CAPTURE_UNSUPPORTED));
    assert!(device.end_capture(stream).is_err());
    // The stream continues after that.
    device.begin_capture(stream, true)?;
    assert!(device.end_capture(stream).is_ok());
    Ok(())
}
