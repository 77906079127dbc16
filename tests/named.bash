# Sourced by tests of what shows a model: named NAME prints one in which everything is called so.
named() {
	cat <<-END
		dcc-ir 1 stage import
		model m
		sym N in 0..9
		const @"c$1": f32[4] = [1, 2, 3, 4]
		func @main(%"x$1": f32[N, 4], %"c$1": bool[]) -> ("y$1": f32[N, 4]) {
		  %"v$1": f32[N, 4] = add %"x$1", @"c$1" loc "n$1" "op$1"-17
		  %"w$1": f32[N, 4] = if %"c$1" {
		    %"e$1": f32[N, 4] = exp %"v$1" loc "/l/$1/$1/e" Exp-13
		    yield %"e$1"
		  } else {
		    yield %"v$1"
		  } loc "/l/$1/if" If-16
		  %0: f32[N, 4] = softmax %"w$1" {axis=1} loc "//l//$1///" Softmax-13
		  return %0
		}
	END
}
