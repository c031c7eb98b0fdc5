//! The targets of calls and jumps: relative in a program, they differ at each place of the same target; counted from the
//! program's beginning instead, they are the same four bytes everywhere, which pack well. The first byte is the highest,
//! since it differs least.
//!
//! Only of use on x86, whose calls have a byte of their own before the four; elsewhere programs stay as they are.

/// Counts targets from the beginning of the program.
pub fn to_absolute(program: &mut [u8]) {
    let length = program.len() as i32;
    each(program, &mut |at, bytes| {
        let relative = i32::from_le_bytes(*bytes);
        let target = match relative {
            // No target within the program.
            _ if !(-at..length).contains(&relative) => relative,
            _ if relative < length - at => relative + at,
            // What leads beyond the end takes the numbers that are free: those of what lay before the beginning.
            _ => relative - length,
        };
        *bytes = target.to_be_bytes();
    });
}

/// Counts them from where they are, as the processor does.
pub fn to_relative(program: &mut [u8]) {
    let length = program.len() as i32;
    each(program, &mut |at, bytes| {
        let target = i32::from_be_bytes(*bytes);
        let relative = match target {
            _ if !(-at..length).contains(&target) => target,
            0.. => target - at,
            _ => target + length,
        };
        *bytes = relative.to_le_bytes();
    });
}

/// Visits each four bytes behind the byte of a call or a jump, with their place.
fn each(program: &mut [u8], visit: &mut dyn FnMut(i32, &mut [u8; 4])) {
    /// `call` and `jmp` with a target of 32 bits: e8 and e9.
    const CALL: u8 = 0xe8;
    let mut at = 0;
    while let Some(rest) = program.get_mut(at..)
        && let Some(place) = rest.iter().position(|byte| *byte & 0xfe == CALL)
        && let Some(bytes) = rest.get_mut(place + 1..).and_then(<[u8]>::first_chunk_mut)
    {
        at += place + 1;
        visit(at as i32, bytes);
        at += 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_absolute_comes_back() {
        let mut random = 1_u32;
        let mut bytes: Vec<u8> = (0..100_000)
            .map(|at| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Many calls, with targets near and far on both sides.
                match at % 5 {
                    0 => 0xe8 | (random >> 31) as u8,
                    1 | 2 => (random >> 24) as u8,
                    3 => (random >> 30) as u8,
                    _ => [0, 0xff][(random >> 31) as usize],
                }
            })
            .collect();
        let program = bytes.clone();
        to_absolute(&mut bytes);
        assert!(bytes != program);
        to_relative(&mut bytes);
        assert!(bytes == program);
    }

    #[test]
    fn calls_of_one_function_become_equal() {
        let mut program = [0x90; 64];
        program[8] = 0xe8;
        program[9..13].copy_from_slice(&(40_i32 - 13).to_le_bytes());
        program[32] = 0xe9;
        program[33..37].copy_from_slice(&(40_i32 - 37).to_le_bytes());
        to_absolute(&mut program);
        assert_eq!(program[9..13], program[33..37]);
    }
}
