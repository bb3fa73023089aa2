//! Interleaved pixels to planes.

/// Pixels that are done together.
const BLOCK: usize = 16;

/// Writes `height x width x 3` bytes as three planes, red, green, blue.
pub(crate) fn to_planes(rgb: &[u8], planes: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("ssse3") {
        // SAFETY: the processor has what the function is compiled for.
        return separate(rgb, planes, |pixels| unsafe { shuffled(pixels) });
    }
    separate(rgb, planes, gathered);
}

fn separate(rgb: &[u8], planes: &mut [u8], block: impl Fn(&[u8; 3 * BLOCK]) -> [[u8; BLOCK]; 3]) {
    let (red, rest) = planes.split_at_mut(planes.len() / 3);
    let (green, blue) = rest.split_at_mut(rest.len() / 2);
    let (pixels, last) = rgb.as_chunks::<{ 3 * BLOCK }>();
    let (reds, last_red) = red.as_chunks_mut::<BLOCK>();
    let (greens, last_green) = green.as_chunks_mut::<BLOCK>();
    let (blues, last_blue) = blue.as_chunks_mut::<BLOCK>();
    for (((pixels, red), green), blue) in pixels.iter().zip(reds).zip(greens).zip(blues) {
        [*red, *green, *blue] = block(pixels);
    }
    let last_planes = last_red.iter_mut().zip(last_green).zip(last_blue);
    for (pixel, ((red, green), blue)) in last.chunks_exact(3).zip(last_planes) {
        (*red, *green, *blue) = (pixel[0], pixel[1], pixel[2]);
    }
}

fn gathered(pixels: &[u8; 3 * BLOCK]) -> [[u8; BLOCK]; 3] {
    std::array::from_fn(|c| std::array::from_fn(|i| pixels[3 * i + c]))
}

/// For each plane and each third of a block: which byte goes where; 0x80 for none.
#[cfg(target_arch = "x86_64")]
const SHUFFLES: [[[u8; BLOCK]; 3]; 3] = {
    let mut shuffles = [[[0x80; BLOCK]; 3]; 3];
    let mut byte = 0;
    while byte < 3 * BLOCK {
        shuffles[byte % 3][byte / BLOCK][byte / 3] = (byte % BLOCK) as u8;
        byte += 1;
    }
    shuffles
};

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "ssse3")]
fn shuffled(pixels: &[u8; 3 * BLOCK]) -> [[u8; BLOCK]; 3] {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_or_si128, _mm_shuffle_epi8};
    // SAFETY: sixteen bytes can be read from an array of as many, aligned or not.
    let load = |bytes: &[u8; BLOCK]| unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    let (thirds, _) = pixels.as_chunks::<BLOCK>();
    SHUFFLES.map(|shuffles| {
        let part = |at: usize| _mm_shuffle_epi8(load(&thirds[at]), load(&shuffles[at]));
        let plane: __m128i = _mm_or_si128(_mm_or_si128(part(0), part(1)), part(2));
        // SAFETY: both are sixteen bytes without padding.
        unsafe { std::mem::transmute::<__m128i, [u8; BLOCK]>(plane) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_finds_its_place() {
        for pixels in [0, 1, 15, 16, 17, 47, 48, 200] {
            let rgb: Vec<u8> = (0..3 * pixels).map(|i| (i * 7) as u8).collect();
            let wanted: Vec<u8> =
                (0..3).flat_map(|c| rgb.iter().skip(c).step_by(3).copied()).collect();
            let (mut a, mut b) = (vec![0; 3 * pixels], vec![0; 3 * pixels]);
            to_planes(&rgb, &mut a);
            separate(&rgb, &mut b, gathered);
            assert!(a == wanted && b == wanted, "{pixels} pixels");
        }
    }
}
