"""The scoreboard: quality of a model on unseen procedural scenes, beside baselines and published figures.

`engine.evaluation.board.scoreboard` runs it (its protocol is that of 2304.06714, section 5). A task is one entry (our
settings, the paper's, a baseline, an ablation) on one scene with one number of given views; its scores are kept in
`parts/ENTRY/VIEWS-SCENE.json`, so that a killed run goes on and several processes share the work.

`scoreboard.json`, keys in this order (an INTERVAL is `{"mean", "low", "high"}`, 95 % over scenes; a ROW is
`{"title", "scenes", "psnr": INTERVAL, "ssim": INTERVAL, "input_psnr": number, "seconds": number, "iou": INTERVAL,
"chamfer": INTERVAL, "lpips": INTERVAL, "scene_psnr": [number, ...], "margin": {"psnr": INTERVAL, "ssim": INTERVAL}}`,
without the entries that were not measured; `seconds` are CPU time without rendering; `margin` is ours minus this on the
same scenes; `iou` and `chamfer` are of the first scenes only):

    category, checkpoint   names
    settings               seed, mode, quality, numbers of scenes, fit options of every number of views, weights
    ours                   {"1": ROW, "2": ROW}
    baselines              {entry: {"1": ROW, "2": ROW}}: paper, rendering_only, guidance_only, no_prior,
                           nearest_training_scene, mean_image, mean_code
    ablation               {"A0" | "A2" | "A3" | "A0_equal" | "A1_equal": ROW}, mode `paper`, one view; margins are
                           A0's minus the row's (A0_equal's minus A1_equal's); "note" where rows are left out
    views                  {"1": ROW, "2": ROW, "4": ..., "32": ROW, "no_prior": {"1": ROW, ..., "32": ROW}} on the same
                           scenes for every number of views; "gain": INTERVAL is the step in PSNR from the row before
    samples                counts, fd_small and kd_small of `ours`, `training` (the floor) and the small priors, coverage, mmd
    published              figures reported in the paper

Pictures lie beside it in `pictures/`: `{scene:03d}-{views:02d}-input.png`, `...-{place:03d}-truth.png`,
`...-{place:03d}-{entry}.png`, `sample-{k:03d}-{side}.png`, `nearest-{k:03d}.png`.
"""
